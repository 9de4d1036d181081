package hemalum.client;

import java.util.Locale;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where a server listens, read from what a person typed.
 *
 * @param host name or number, IPv6 without brackets
 * @param port 1…65535
 * @param tls  whether the connection is encrypted
 */
public record Endpoint(String host, int port, boolean tls) {

    /** The port that {@code hemalum serve} takes by default. */
    public static final int DEFAULT_PORT = 50051;

    private static final Set<String> PLAIN = Set.of("http", "grpc", "dns");
    private static final Set<String> SECURE = Set.of("https", "grpcs");
    private static final Set<String> LOOPBACK = Set.of("localhost", "127.0.0.1", "::1");
    private static final Pattern FORM =
            Pattern.compile("(?:([a-zA-Z][a-zA-Z0-9+.-]*):/+)?(\\[[0-9a-fA-F:.]+]|[^\\s:/\\[\\]]+)(?::(\\d{0,6}))?(?:/.*)?");

    /**
     * Repairs what people type: spaces and quotes around the address, a scheme, a path or slash behind it, a missing port.
     * Without a scheme the connection is plain to this computer and encrypted to any other.
     *
     * @param typed for example {@code " https://gpu.lab.example:50051/ "}
     * @throws ServiceException of kind {@code BAD_ADDRESS}, with a sentence that says what is wrong
     */
    public static Endpoint parse(String typed) {
        String text = typed == null ? "" : typed.strip().replaceAll("^[\"'<]+|[\"'>]+$", "").strip();
        if (text.isEmpty())
            throw bad("The server address is empty. Type host:port, for example gpu.lab.example:" + DEFAULT_PORT + ".");
        Matcher parts = FORM.matcher(text);
        if (!parts.matches() || text.matches("[A-Za-z]+:/+"))
            throw bad("'" + text + "' is not a server address. Type host:port, for example gpu.lab.example:" + DEFAULT_PORT + ".");
        String host = parts.group(2).replaceAll("[\\[\\]]", "");
        int port = DEFAULT_PORT;
        if (parts.group(3) != null && !parts.group(3).isEmpty()) {
            port = Integer.parseInt(parts.group(3));
            if (port < 1 || port > 65535)
                throw bad(port + " is not a port in '" + text + "'. Ports are 1 to 65535; the server prints its own when it starts.");
        }
        return new Endpoint(host, port, encrypted(parts.group(1), host, text));
    }

    private static boolean encrypted(String scheme, String host, String text) {
        if (scheme == null)
            return !isLoopback(host);
        String lower = scheme.toLowerCase(Locale.ROOT);
        if (SECURE.contains(lower))
            return true;
        if (PLAIN.contains(lower))
            return false;
        throw bad("'" + scheme + "' in '" + text + "' is not a way to reach the server. Use https:// (encrypted), http:// or nothing.");
    }

    private static boolean isLoopback(String host) {
        return LOOPBACK.contains(host.toLowerCase(Locale.ROOT)) || host.startsWith("127.");
    }

    private static ServiceException bad(String sentence) {
        return new ServiceException(ServiceException.Kind.BAD_ADDRESS, sentence, null);
    }

    /** Whether the server is on this computer. */
    public boolean loopback() {
        return isLoopback(host);
    }

    /** Host and port as gRPC and people write them; IPv6 in brackets. */
    public String authority() {
        return (host.indexOf(':') >= 0 ? "[" + host + "]" : host) + ":" + port;
    }

    /** The repaired address with its scheme; {@link #parse} gives the same endpoint back. */
    @Override
    public String toString() {
        return (tls ? "https://" : "http://") + authority();
    }
}
