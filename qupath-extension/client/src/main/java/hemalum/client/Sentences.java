package hemalum.client;

import hemalum.client.ServiceException.Kind;
import io.grpc.Status;
import java.io.EOFException;
import java.io.IOException;
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
 * gRPC reports most failures of a connection as a bare {@code UNAVAILABLE}; what happened is in the chain of causes.
 */
final class Sentences {

    private Sentences() {}

    /**
     * @param failure  what a call threw
     * @param endpoint the server that was called
     * @param working  whether the server had already answered on this call
     */
    static ServiceException of(Throwable failure, Endpoint endpoint, boolean working) {
        if (failure instanceof ServiceException known)
            return known;
        List<Throwable> chain = chain(failure);
        Status status = Status.fromThrowable(failure);
        String said = status.getDescription() == null ? "" : status.getDescription().strip();
        return switch (status.getCode()) {
            case UNAUTHENTICATED -> make(Kind.TOKEN_REFUSED, failure, "The server at %s refused the token. Copy the token again from "
                    + "where the server was started, and enter it under Extensions > Hemalum > Server.", endpoint.authority());
            case PERMISSION_DENIED -> make(Kind.REFUSED, failure, "%s", sentence(said, "The server does not allow this."));
            case NOT_FOUND -> make(Kind.MODEL_MISSING, failure, "%s", sentence(said, "The server has no such model."));
            case INVALID_ARGUMENT, OUT_OF_RANGE, FAILED_PRECONDITION, ALREADY_EXISTS, ABORTED, DATA_LOSS ->
                    make(Kind.REFUSED, failure, "%s", sentence(said, "The server refused the request."));
            case RESOURCE_EXHAUSTED -> make(Kind.TOO_MUCH, failure, "%s",
                    sentence(said, "The server has reached one of its limits. Try again when it has less to do."));
            case DEADLINE_EXCEEDED -> make(Kind.TIMED_OUT, failure, "The server at %s did not answer in time. Look whether it is "
                    + "busy or the network is slow, and try again.", endpoint.authority());
            case CANCELLED -> make(Kind.CANCELLED, failure, "Cancelled.");
            case UNIMPLEMENTED -> notGrpc(failure, endpoint, said);
            case UNAVAILABLE, UNKNOWN, INTERNAL -> connection(failure, chain, endpoint, said, working);
            default -> make(Kind.SERVER_FAULT, failure, "The server at %s failed: %s", endpoint.authority(), sentence(said, status.toString()));
        };
    }

    /** Whether no connection was made because this computer did not give gRPC's second thread a turn within its second. */
    static boolean starved(Throwable failure) {
        return text(chain(failure)).contains("second handshake thread");
    }

    private static ServiceException connection(Throwable failure, List<Throwable> chain, Endpoint endpoint, String said, boolean working) {
        String at = endpoint.authority();
        String all = text(chain);
        if (find(chain, UnknownHostException.class) || all.contains("unable to resolve host"))
            return make(Kind.UNKNOWN_HOST, failure, "No computer is known by the name '%s'. Look for a typing error in the address.", endpoint.host());
        if (find(chain, SSLPeerUnverifiedException.class) || all.contains("cannot verify hostname") || all.contains("no subject alternative"))
            return make(Kind.WRONG_HOST, failure, "The certificate of the server is not made for '%s'. Use the name that is in the "
                    + "certificate, or have it made again for this name.", endpoint.host());
        if (all.contains("pkix path") || all.contains("unable to find valid certification path") || all.contains("certpathvalidator"))
            return make(Kind.UNTRUSTED_CERTIFICATE, failure, "The certificate of %s is signed by an authority that this computer does not "
                    + "trust. Choose the server's ca.crt under Extensions > Hemalum > Server, or ask who runs the server for it.", at);
        if (all.contains("unsupported or unrecognized ssl message") || all.contains("plaintext connection?"))
            return make(Kind.SERVER_IS_PLAIN, failure, "The server at %s does not encrypt. Write http:// before its address, "
                    + "or start it with --tls-cert and --tls-key.", at);
        if (find(chain, SSLException.class))
            return make(Kind.TLS, failure, "No encrypted connection to %s could be made: %s", at, sentence(deepest(chain), "TLS failed."));
        if (find(chain, ConnectException.class) && all.contains("refused"))
            return working ? lost(failure, at) : make(Kind.NOTHING_LISTENING, failure, "Nothing listens at %s. Start the server there, or "
                    + "look for another port in what the server printed when it started.", at);
        if (find(chain, SocketTimeoutException.class) || find(chain, NoRouteToHostException.class)
                || all.contains("timed out") || all.contains("network is unreachable"))
            return make(Kind.NO_ANSWER, failure, "The computer '%s' does not answer. Look whether it is switched on, and whether a "
                    + "firewall or a VPN lies between.", endpoint.host());
        if (working && (find(chain, IOException.class) || all.contains("end of stream") || all.contains("goaway") || all.contains("closed")
                || all.contains("reset")))
            return lost(failure, at);
        if (all.contains("http status") || all.contains("content-type") || all.contains("unexpected http") || all.contains("frame_size")
                || all.contains("frame size") || all.contains("expected a connection header") || all.contains("settings preface")
                || all.contains("http2 exception") || all.contains("expected a settings"))
            return notGrpc(failure, endpoint, said);
        if (!endpoint.tls() && (find(chain, EOFException.class) || find(chain, SocketException.class) || all.contains("end of stream")))
            return make(Kind.SERVER_WANTS_TLS, failure, "%s closed the connection at once. A server that encrypts does so: write https:// "
                    + "before its address. If it does not, another program listens there.", at);
        if (working)
            return lost(failure, at);
        return make(Kind.SERVER_FAULT, failure, "The server at %s failed: %s", at,
                sentence(said.isEmpty() || said.equalsIgnoreCase("io exception") ? deepest(chain) : said, "no reason was given."));
    }

    private static ServiceException lost(Throwable failure, String at) {
        return make(Kind.LOST, failure, "The connection to the server at %s broke while it was working. Look whether it still runs; "
                + "what was finished is kept if you choose so.", at);
    }

    private static ServiceException notGrpc(Throwable failure, Endpoint endpoint, String said) {
        return make(Kind.NOT_GRPC, failure, "A program listens at %s, but it is not a Hemalum server. Look for another port in what the "
                + "server printed when it started.", endpoint.authority());
    }

    private static ServiceException make(Kind kind, Throwable cause, String format, Object... values) {
        return new ServiceException(kind, String.format(format, values), cause);
    }

    private static String sentence(String said, String otherwise) {
        String text = said == null || said.isBlank() ? otherwise : said.strip();
        return text.endsWith(".") || text.endsWith("!") || text.endsWith("?") ? text : text + ".";
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
        return last.getMessage() == null ? last.getClass().getSimpleName() : last.getMessage();
    }
}
