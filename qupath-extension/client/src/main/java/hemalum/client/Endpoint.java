package hemalum.client;

import java.net.InetAddress;
import java.net.UnknownHostException;
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
 * @param insecure whether a person has said by name that a token may travel without encryption
 */
public record Endpoint(String host, int port, boolean tls, boolean insecure) {

    /** The port that {@code hemalum serve} takes by default. */
    public static final int DEFAULT_PORT = 50051;

    private static final String INSECURE = "insecure";
    private static final Set<String> PLAIN = Set.of("http", "grpc", "dns", INSECURE);
    private static final Set<String> SECURE = Set.of("https", "grpcs");
    private static final Pattern LOOPBACK = Pattern.compile("127(?:\\.(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)){3}");
    private static final Pattern FORM =
            Pattern.compile("(?:([a-zA-Z][a-zA-Z0-9+.-]*):/+)?(\\[[0-9a-fA-F:.]+]|[^\\s:/\\[\\]]+)(?::(\\d{0,6}))?(?:/.*)?");

    /** A connection over which no token travels unencrypted but to this computer. */
    public Endpoint(String host, int port, boolean tls) {
        this(host, port, tls, false);
    }

    /**
     * Repairs what people type: spaces and quotes around the address, a scheme, a path or slash behind it, a missing
     * port.
     * Without a scheme the connection is plain to this computer and encrypted to any other. {@code insecure://} is
     * plain too, and lets a token travel so.
     *
     * @param typed for example {@code " https://gpu.lab.example:50051/ "}
     * @throws ServiceException of kind {@code BAD_ADDRESS}, with a sentence that says what is wrong
     */
    public static Endpoint parse(String typed) {
        String text = typed == null ? "" : typed.strip().replaceAll("^[\"'<]+|[\"'>]+$", "").strip();
        if (text.isEmpty())
            throw bad(Texts.get("address.empty", DEFAULT_PORT));
        Matcher parts = FORM.matcher(text);
        if (!parts.matches() || text.matches("[A-Za-z]+:/+"))
            throw bad(Texts.get("address.wrong", text, DEFAULT_PORT));
        String host = parts.group(2).replaceAll("[\\[\\]]", "");
        int port = DEFAULT_PORT;
        if (parts.group(3) != null && !parts.group(3).isEmpty()) {
            port = Integer.parseInt(parts.group(3));
            if (port < 1 || port > 65535)
                throw bad(Texts.get("address.port", port, text));
        }
        if (host.indexOf(':') >= 0 && literal(host) == null)
            throw bad(Texts.get("address.wrong", text, DEFAULT_PORT));
        return new Endpoint(host, port, encrypted(parts.group(1), host, text),
                INSECURE.equalsIgnoreCase(parts.group(1)));
    }

    private static boolean encrypted(String scheme, String host, String text) {
        if (scheme == null)
            return !isLoopback(host);
        String lower = scheme.toLowerCase(Locale.ROOT);
        if (SECURE.contains(lower))
            return true;
        if (PLAIN.contains(lower))
            return false;
        throw bad(Texts.get("address.scheme", scheme, text));
    }

    private static boolean isLoopback(String host) {
        if (host.indexOf(':') < 0)
            return host.equalsIgnoreCase("localhost") || LOOPBACK.matcher(host).matches();
        InetAddress address = literal(host);
        return address != null && address.isLoopbackAddress();
    }

    /** An IPv6 address in numbers; null where it is none. */
    private static InetAddress literal(String host) {
        try {
            // no name has a colon: nobody is asked
            return InetAddress.getByName(host);
        } catch (UnknownHostException e) {
            return null;
        }
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
        return (tls ? "https://" : insecure ? INSECURE + "://" : "http://") + authority();
    }
}
