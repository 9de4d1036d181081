package hemalum.client;

import hemalum.client.ServiceException.Kind;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import java.io.EOFException;
import java.net.ConnectException;
import java.net.NoRouteToHostException;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLPeerUnverifiedException;

/**
 * Turns a failed call into one sentence that says what is wrong and what to do.
 * <p>
 * A Hemalum server names the class of its error beside its own sentence, which is shown as it is. Where no server
 * answered, gRPC reports most failures of a connection as a bare {@code UNAVAILABLE}; what happened is in the chain of
 * causes.
 */
final class Sentences {

    private static final Metadata.Key<String> CLASS =
            Metadata.Key.of("hemalum-error", Metadata.ASCII_STRING_MARSHALLER);
    private static final Metadata.Key<String> RETRY_AFTER =
            Metadata.Key.of("hemalum-retry-after", Metadata.ASCII_STRING_MARSHALLER);

    private Sentences() {}

    /**
     * @param failure  what a call threw
     * @param endpoint the server that was called
     * @param working  whether the server had already answered on this call
     */
    static ServiceException of(Throwable failure, Endpoint endpoint, boolean working) {
        if (failure instanceof ServiceException known)
            return known;
        if (!(failure instanceof StatusRuntimeException) && !(failure instanceof StatusException))
            return new ServiceException(Kind.CLIENT_FAULT, Texts.get("client.fault", failure), failure);
        Status status = Status.fromThrowable(failure);
        Metadata trailers = Status.trailersFromThrowable(failure);
        String said = status.getDescription() == null ? "" : status.getDescription().strip();
        if (trailers != null && trailers.containsKey(CLASS))
            return said(failure, status.getCode(), trailers, said);
        return unsaid(failure, status, endpoint, said, working);
    }

    /** An error that a Hemalum server names. */
    private static ServiceException said(Throwable failure, Status.Code code, Metadata trailers, String said) {
        Kind kind = switch (trailers.get(CLASS)) {
            case "UnknownModel" -> Kind.MODEL_MISSING;
            case "ServerUnavailable" -> Kind.UNAVAILABLE;
            case "RunLost", "Cancelled" -> Kind.LOST;
            case "DiskFull" -> Kind.SERVER_FAULT;
            case "Busy" -> Kind.BUSY;
            case "TooMuch" -> Kind.TOO_MUCH;
            // classes that were added later, too
            default -> switch (code) {
                case UNAUTHENTICATED -> Kind.TOKEN_REFUSED;
                case RESOURCE_EXHAUSTED -> trailers.containsKey(RETRY_AFTER) ? Kind.BUSY : Kind.TOO_MUCH;
                case UNAVAILABLE, CANCELLED, DEADLINE_EXCEEDED -> Kind.LOST;
                case INTERNAL, UNKNOWN -> Kind.SERVER_FAULT;
                default -> Kind.REFUSED;
            };
        };
        String text = sentence(said, Texts.get("refused"));
        return new ServiceException(kind, kind == Kind.TOKEN_REFUSED ? text + " " + Texts.get("token.where") : text,
                failure, seconds(trailers.get(RETRY_AFTER)));
    }

    /**
     * An error without the name of its class: of gRPC, of the network, of another program, or a fault that the server
     * did not foresee.
     */
    private static ServiceException unsaid(Throwable failure, Status status, Endpoint endpoint, String said,
            boolean working) {
        List<Throwable> chain = chain(failure);
        String at = endpoint.authority();
        return switch (status.getCode()) {
            case UNAUTHENTICATED -> make(Kind.TOKEN_REFUSED, failure, "token.refused", at);
            case RESOURCE_EXHAUSTED -> said.contains("Concurrent RPC limit") ? make(Kind.BUSY, failure, "busy", at)
                    : new ServiceException(Kind.TOO_MUCH, sentence(said, Texts.get("too.much")), failure);
            case DEADLINE_EXCEEDED -> make(Kind.TIMED_OUT, failure, "timed.out", at);
            case CANCELLED -> find(chain, InterruptedException.class) ? make(Kind.CANCELLED, failure, "cancelled")
                    : make(Kind.LOST, failure, "ended", at);
            case UNIMPLEMENTED -> make(Kind.NOT_GRPC, failure, "not.grpc", at);
            case UNAVAILABLE -> connection(failure, chain, endpoint, working);
            case INTERNAL, UNKNOWN -> chain.size() > 1 || foreign(text(chain)) || broken(text(chain))
                    ? connection(failure, chain, endpoint, working)
                    : fault(failure, chain, at);
            default -> new ServiceException(Kind.REFUSED, sentence(said, Texts.get("refused")), failure);
        };
    }

    /**
     * Whether no connection was made because this computer did not give gRPC's second thread a turn within its second.
     */
    static boolean starved(Throwable failure) {
        return text(chain(failure)).contains("second handshake thread");
    }

    /** Whether the same short call may succeed at once: something answered, but not properly. */
    static boolean mayPass(ServiceException failure) {
        return failure.getCause() != null && failure.kind() != Kind.NO_ANSWER
                && Status.fromThrowable(failure.getCause()).getCode() == Status.Code.UNAVAILABLE;
    }

    private static ServiceException connection(Throwable failure, List<Throwable> chain, Endpoint endpoint,
            boolean working) {
        String at = endpoint.authority();
        String all = text(chain);
        if (working)
            return make(Kind.LOST, failure, "lost", at);
        if (find(chain, UnknownHostException.class) || all.contains("unable to resolve host"))
            return make(Kind.UNKNOWN_HOST, failure, "unknown.host", endpoint.host());
        if (find(chain, SSLPeerUnverifiedException.class) || all.contains("cannot verify hostname")
                || all.contains("no subject alternative"))
            return make(Kind.WRONG_HOST, failure, "wrong.host", endpoint.host());
        if (all.contains("pkix path") || all.contains("unable to find valid certification path")
                || all.contains("certpathvalidator"))
            return make(Kind.UNTRUSTED_CERTIFICATE, failure, "untrusted", at);
        if (all.contains("unsupported or unrecognized ssl message") || all.contains("plaintext connection?"))
            return make(Kind.SERVER_IS_PLAIN, failure, "server.plain", at);
        if (find(chain, SSLException.class))
            return make(Kind.TLS, failure, "tls", at, sentence(deepest(chain), "TLS"));
        if (find(chain, ConnectException.class) && all.contains("refused"))
            return make(Kind.NOTHING_LISTENING, failure, "nothing.listens", at);
        if (find(chain, SocketTimeoutException.class) || find(chain, NoRouteToHostException.class)
                || all.contains("timed out") || all.contains("network is unreachable")
                || all.contains("keepalive failed"))
            return make(Kind.NO_ANSWER, failure, "no.answer", endpoint.host());
        if (foreign(all))
            return make(Kind.NOT_GRPC, failure, "not.grpc", at);
        if (!endpoint.tls() && (find(chain, EOFException.class) || find(chain, SocketException.class)
                || all.contains("end of stream")))
            return make(Kind.SERVER_WANTS_TLS, failure, "server.tls", at);
        return fault(failure, chain, at);
    }

    /** Whether the other side does not speak gRPC. */
    private static boolean foreign(String all) {
        return all.contains("http status") || all.contains("content-type") || all.contains("unexpected http")
                || all.contains("frame_size") || all.contains("frame size")
                || all.contains("expected a connection header") || all.contains("settings preface")
                || all.contains("http2 exception") || all.contains("expected a settings");
    }

    /** Whether HTTP/2 ended the call, not the program behind it. */
    private static boolean broken(String all) {
        return all.contains("rst stream") || all.contains("http/2 error code") || all.contains("end of stream");
    }

    private static ServiceException fault(Throwable failure, List<Throwable> chain, String at) {
        return make(Kind.SERVER_FAULT, failure, "server.fault", at, sentence(deepest(chain), Texts.get("no.reason")));
    }

    private static ServiceException make(Kind kind, Throwable cause, String name, Object... values) {
        return new ServiceException(kind, Texts.get(name, values), cause);
    }

    private static double seconds(String hint) {
        try {
            return hint == null ? Double.NaN : Double.parseDouble(hint);
        } catch (NumberFormatException e) {
            return Double.NaN;
        }
    }

    private static String sentence(String said, String otherwise) {
        String text = said == null || said.isBlank() ? otherwise : said.strip();
        return text.matches("(?s).*[.!?。]") ? text : text + ".";
    }

    private static List<Throwable> chain(Throwable failure) {
        List<Throwable> chain = new ArrayList<>();
        for (Throwable t = failure; t != null && !chain.contains(t) && chain.size() < 20; t = t.getCause())
            chain.add(t);
        return chain;
    }

    private static boolean find(List<Throwable> chain, Class<? extends Throwable> type) {
        return chain.stream().anyMatch(type::isInstance);
    }

    private static String text(List<Throwable> chain) {
        StringBuilder all = new StringBuilder();
        for (Throwable t : chain)
            all.append(t).append('\n');
        return all.toString().toLowerCase(Locale.ROOT);
    }

    private static String deepest(List<Throwable> chain) {
        Throwable last = chain.get(chain.size() - 1);
        if (last instanceof StatusRuntimeException status && status.getStatus().getDescription() != null)
            return status.getStatus().getDescription();
        return last.getMessage() == null ? last.getClass().getSimpleName() : last.getMessage();
    }
}
