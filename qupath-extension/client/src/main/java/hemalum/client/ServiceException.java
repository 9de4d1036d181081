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
        /** A limit of the server is reached. */
        TOO_MUCH,
        /** No answer within the deadline, or no progress. */
        TIMED_OUT,
        /** The connection broke while work was under way. */
        LOST,
        /** The user cancelled. */
        CANCELLED,
        /** The local server could not be started. */
        NO_LOCAL_SERVER,
        /** A fault of the server. */
        SERVER_FAULT
    }

    private final Kind kind;

    /**
     * @param kind     what went wrong
     * @param sentence what the user reads
     * @param cause    for the log; may be null
     */
    public ServiceException(Kind kind, String sentence, Throwable cause) {
        super(sentence, cause);
        this.kind = kind;
    }

    /** What went wrong. */
    public Kind kind() {
        return kind;
    }

    /** Whether nothing is wrong with the set-up and the same request may succeed later. */
    public boolean mayPass() {
        return switch (kind) {
            case LOST, TIMED_OUT, TOO_MUCH, NO_ANSWER, NOTHING_LISTENING -> true;
            default -> false;
        };
    }
}
