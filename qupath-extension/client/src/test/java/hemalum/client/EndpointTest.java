package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class EndpointTest {

    @ParameterizedTest
    @CsvSource(delimiter = '|', ignoreLeadingAndTrailingWhitespace = false, value = {
        "gpu.lab.example:7000|https://gpu.lab.example:7000",
        "  gpu.lab.example:7000/  |https://gpu.lab.example:7000",
        "http://gpu.lab.example:7000/sam/|http://gpu.lab.example:7000",
        "HTTPS://gpu.lab.example|https://gpu.lab.example:50051",
        "https:/gpu.lab.example|https://gpu.lab.example:50051",
        "\"localhost:50051\"|http://localhost:50051",
        "127.0.0.1:1|http://127.0.0.1:1",
        "[::1]:50051|http://[::1]:50051",
        "https://localhost:50051|https://localhost:50051",
        "<gpu.lab.example:>|https://gpu.lab.example:50051",
        "insecure://gpu.lab.example:50051|insecure://gpu.lab.example:50051",
    })
    void repairsWhatPeopleType(String typed, String repaired) {
        Endpoint endpoint = Endpoint.parse(typed);
        assertEquals(repaired, endpoint.toString());
        assertEquals(endpoint, Endpoint.parse(endpoint.toString()));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "   ", "host:0", "host:70000", "host:123456789", "ftp://host:1", "a b", "host:port",
            "http://", "[1:2]", "[::g]"})
    void saysWhatIsWrong(String typed) {
        ServiceException refused = assertThrows(ServiceException.class, () -> Endpoint.parse(typed));
        assertEquals(ServiceException.Kind.BAD_ADDRESS, refused.kind());
        assertTrue(refused.getMessage().endsWith("."), refused.getMessage());
    }

    @ParameterizedTest
    @ValueSource(strings = {"localhost", "LocalHost:1", "127.0.0.1", "127.255.3.9", "[::1]", "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]"})
    void thisComputer(String typed) {
        assertTrue(Endpoint.parse(typed).loopback());
        assertFalse(Endpoint.parse(typed).tls());
    }

    @ParameterizedTest
    @ValueSource(strings = {"127.evil.example", "127.0.0.1.evil.example", "127.0.0.256", "127.1", "127.0.0.1.5",
        "128.0.0.1", "localhost.evil.example", "[::2]", "[::127.0.0.1]", "[fe80::1]", "[::ffff:10.0.0.1]"})
    void anotherComputer(String typed) {
        assertFalse(Endpoint.parse(typed).loopback());
        assertTrue(Endpoint.parse(typed).tls());
    }

    @Test
    void nothingTypedAtAll() {
        assertThrows(ServiceException.class, () -> Endpoint.parse(null));
    }
}
