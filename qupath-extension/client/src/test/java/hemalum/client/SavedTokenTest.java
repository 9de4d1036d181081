package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import hemalum.client.ServiceException.Kind;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Who gets a token, and how. */
class SavedTokenTest {

    private static final SavedToken SAVED = new SavedToken("gpu.lab.example", "secret");

    @ParameterizedTest
    @ValueSource(strings = {"gpu.lab.example:50051", "https://GPU.lab.example", " gpu.lab.example/ "})
    void goesToItsServer(String address) {
        assertEquals("secret", SAVED.to(Endpoint.parse(address)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"elsewhere", "gpu.lab.example:50052", "http://gpu.lab.example",
            "insecure://gpu.lab.example", "gpu.lab.example.evil", "localhost"})
    void goesToNoOther(String address) {
        assertNull(SAVED.to(Endpoint.parse(address)));
    }

    @Test
    void whatWasSavedForNoServerGoesNowhere() {
        assertNull(new SavedToken("", "secret").to(Endpoint.parse("gpu.lab.example")));
        assertNull(new SavedToken("no address at all", "secret").to(Endpoint.parse("gpu.lab.example")));
        assertNull(new SavedToken("gpu.lab.example", " ").to(Endpoint.parse("gpu.lab.example")));
        assertFalse(SAVED.toString().contains("secret"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"http://gpu.lab.example", "http://127.evil.example", "http://192.168.1.7",
            "grpc://[2001:db8::1]"})
    void neverTravelsWhereOthersReadIt(String address) {
        ServiceException unsafe = assertThrows(ServiceException.class,
                () -> NucleiClient.connect(Endpoint.parse(address), "secret", null, "test"));
        assertEquals(Kind.UNSAFE, unsafe.kind());
        assertFalse(unsafe.getMessage().contains("secret"), unsafe.getMessage());
        assertTrue(unsafe.getMessage().contains("insecure://"), unsafe.getMessage());
        NucleiClient.connect(Endpoint.parse(address), null, null, "test").close();
    }

    @ParameterizedTest
    @ValueSource(strings = {"insecure://gpu.lab.example", "https://gpu.lab.example", "gpu.lab.example",
            "http://127.0.0.1", "localhost", "[::1]"})
    void travelsWhereNobodyReadsItOrAPersonSaysSo(String address) {
        NucleiClient.connect(Endpoint.parse(address), "secret", null, "test").close();
    }

    @Test
    void reachesTheServer() throws Exception {
        try (FakeServer fake = new FakeServer();
             NucleiClient client = NucleiClient.connect(fake.endpoint, "secret", null, "test")) {
            client.info();
            assertEquals("Bearer secret", fake.tokens.get(0));
        }
    }
}
