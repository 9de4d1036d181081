package hemalum.client;

/** Something went wrong between this program and the server; the message is a sentence for the user. */
public class ServiceException extends RuntimeException {

    /** What a program may want to tell apart. */
    public enum Kind {
        /** The address cannot be understood. */
        BAD_ADDRESS,
        /** The host's name is not known. */
        UNKNOWN_HOST,
        /** The host answers, but no program listens at the port. */
        NOTHING_LISTENING,
        /** The host does not answer. */
        NO_ANSWER,
        /** Something listens that does not speak gRPC. */
        NOT_GRPC,
        /** We spoke TLS, the server does not. */
        SERVER_IS_PLAIN,
        /** We spoke plainly; the server closed the connection, as one with TLS does. */
        SERVER_WANTS_TLS,
        /** The certificate is not signed by an authority we trust. */
        UNTRUSTED_CERTIFICATE,
        /** The certificate is for another host. */
        WRONG_HOST,
        /** Any other failure of TLS. */
        TLS,
        /** The token would travel where others can read it. */
        UNSAFE,
        /** Token missing or wrong. */
        TOKEN_REFUSED,
        /** The server's API is older than this client's. */
        SERVER_TOO_OLD,
        /** The server's API is newer than this client's. */
        SERVER_TOO_NEW,
        /** The server has no such model. */
        MODEL_MISSING,
        /** The server refuses the request; its own sentence says why. */
        REFUSED,
        /** More than the server ever takes: a message, an image, a grid too large. */
        TOO_MUCH,
        /** The server has no place now, and will have one later. */
        BUSY,
        /** The server takes no work: it is shutting down. */
        UNAVAILABLE,
        /** No answer within the deadline, or no progress. */
        TIMED_OUT,
        /** Work that was under way will not be finished: the connection broke, or the server ended it. */
        LOST,
        /** The user cancelled. */
        CANCELLED,
        /** The local server could not be started. */
        NO_LOCAL_SERVER,
        /** A fault of the server. */
        SERVER_FAULT,
        /** A fault of this program. */
        CLIENT_FAULT
    }

    private final Kind kind;
    private final double retryAfter;

    /**
     * @param kind     what went wrong
     * @param sentence what the user reads
     * @param cause    for the log; may be null
     */
    public ServiceException(Kind kind, String sentence, Throwable cause) {
        this(kind, sentence, cause, Double.NaN);
    }

    ServiceException(Kind kind, String sentence, Throwable cause, double retryAfter) {
        super(sentence, cause);
        this.kind = kind;
        this.retryAfter = retryAfter;
    }

    /** Seconds after which the server asks to be asked again; not a number where it does not say. */
    double retryAfter() {
        return retryAfter;
    }

    /** What went wrong. */
    public Kind kind() {
        return kind;
    }

    /** Whether what was found before may be kept: after anything but the user's own cancel. */
    public boolean mayKeep() {
        return kind != Kind.CANCELLED;
    }
}
