package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import hemalum.client.ServiceException.Kind;
import hemalum.v1.SegmentReply;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a failed run is called, and whose sentence is shown. */
@Timeout(value = 5, unit = TimeUnit.MINUTES)
class FailureTest {

    private static ServiceException failure(FakeServer fake, RunListener listener) {
        try (NucleiClient client = fake.client()) {
            return assertThrows(ServiceException.class, () -> FakeServer.run(client, listener, new RunControl()));
        }
    }

    /** A server that ends the run with this error at its first tile. */
    private static ServiceException inMidRun(Status.Code code, String sentence, String... trailers) throws Exception {
        try (FakeServer fake = new FakeServer() {
            @Override
            void tile(StreamObserver<SegmentReply> out, int index) {
                if (index == 0)
                    out.onError(error(code, sentence, trailers));
            }
        }) {
            return failure(fake, new RunListener() { });
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "UNAVAILABLE|RunLost|the run was ended because the client has not sent what was due for 600 s|LOST",
        "ABORTED|RunLost|the run was ended because the client has not sent what was due for 600 s|LOST",
        "UNAVAILABLE|ServerUnavailable|the server is shutting down; try again when it has started|UNAVAILABLE",
        "CANCELLED|Cancelled|the run was cancelled on the server|LOST",
        "RESOURCE_EXHAUSTED|TooMuch|the image has too many pixels|TOO_MUCH",
        "INVALID_ARGUMENT|TooMuch|the image has too many pixels|TOO_MUCH",
        "NOT_FOUND|MissingImage|'x.svs' does not exist on the server|REFUSED",
        "RESOURCE_EXHAUSTED|DiskFull|no space is left on the server|SERVER_FAULT",
        "INVALID_ARGUMENT|ProtocolError|tile 3 was sent twice; the connection was closed, reset and timed out|REFUSED",
        "NOT_FOUND|UnknownModel|there is no model 'x'|MODEL_MISSING",
        "NOT_FOUND|UnreadableImage|there is no slide x.svs|REFUSED",
        "NOT_FOUND|AddedLater|there is no slide x.svs|REFUSED",
        "PERMISSION_DENIED|NotAllowed|x.svs lies outside the folders|REFUSED",
        "DATA_LOSS|DamagedModel|the model is damaged|REFUSED",
        "UNAVAILABLE|AddedLater|refused, reset and closed|LOST",
        "INTERNAL|AddedLater|the server failed; its log says more|SERVER_FAULT",
    })
    void theServersClassAndItsSentence(Status.Code code, String name, String sentence, Kind kind) throws Exception {
        ServiceException failure = inMidRun(code, sentence, "hemalum-error", name);
        assertEquals(kind, failure.kind(), failure.toString());
        assertEquals(sentence + ".", failure.getMessage());
        assertTrue(failure.mayKeep());
    }

    @Test
    void aFaultOfTheServerIsNoBrokenNetwork() throws Exception {
        for (Status.Code code : new Status.Code[] {Status.Code.INTERNAL, Status.Code.UNKNOWN}) {
            ServiceException failure = inMidRun(code,
                    "the server failed (ValueError: connection reset); its log says more");
            assertEquals(Kind.SERVER_FAULT, failure.kind(), failure.toString());
            assertTrue(failure.getMessage()
                    .contains("the server failed (ValueError: connection reset); its log says more"),
                    failure.toString());
        }
    }

    @Test
    void aRefusedTokenIsSaidAsTheServerSaysIt() throws Exception {
        ServiceException failure = inMidRun(Status.Code.UNAUTHENTICATED, "the token of Anna has ended", "hemalum-error",
                "Unauthenticated");
        assertEquals(Kind.TOKEN_REFUSED, failure.kind());
        assertTrue(failure.getMessage().startsWith("the token of Anna has ended. "), failure.getMessage());
    }

    @Test
    void aCancelByTheServerIsNotTheUsers() throws Exception {
        ServiceException failure = inMidRun(Status.Code.CANCELLED, "");
        assertEquals(Kind.LOST, failure.kind(), failure.toString());
        assertTrue(failure.mayKeep());
    }

    @Test
    void aRunWithoutASummaryIsNotFinished() throws Exception {
        try (FakeServer fake = new FakeServer() {
            @Override
            void closed(StreamObserver<SegmentReply> out) {
                out.onCompleted();
            }
        }) {
            assertEquals(Kind.LOST, failure(fake, new RunListener() { }).kind());
        }
    }

    @Test
    void aFaultOnThisSideIsNoneOfTheServer() throws Exception {
        for (Error or : new Error[] {new OutOfMemoryError("Java heap space"), null}) {
            try (FakeServer fake = new FakeServer()) {
                ServiceException failure = failure(fake, new RunListener() {
                    @Override
                    public void settled(int index) {
                        if (or != null)
                            throw or;
                        throw new IllegalStateException("the viewer is closed");
                    }
                });
                assertEquals(Kind.CLIENT_FAULT, failure.kind(), failure.toString());
                assertTrue(failure.getMessage().contains(or != null ? "Java heap space" : "the viewer is closed"),
                        failure.getMessage());
                assertFalse(failure.getMessage().contains("server at"), failure.getMessage());
                assertTrue(failure.mayKeep());
            }
        }
    }

    @Test
    void aFaultOfAReaderIsNoneOfTheServer() throws Exception {
        try (FakeServer fake = new FakeServer()) {
            assertEquals(Kind.CLIENT_FAULT, failure(fake, new RunListener() {
                @Override
                public void read(int index) {
                    throw new NullPointerException("no image");
                }
            }).kind());
        }
    }

    @Test
    void onlyTheUsersCancelKeepsNothing() {
        for (Kind kind : Kind.values())
            assertEquals(kind != Kind.CANCELLED, new ServiceException(kind, "", null).mayKeep(), kind.name());
    }
}
