package hemalum.client;

import java.time.Duration;

/**
 * How long this side waits for the other.
 *
 * @param call                 for the answer to a short call
 * @param normalize            for a normalized picture
 * @param silence              for any word of a server that owes one
 * @param silenceWithHeartbeats the same where the server has announced that it always says something
 * @param keepAlive            without a sign from the network until it is asked for one
 * @param keepAliveTimeout     for that sign
 * @param busy                 in all, for a place on a server that has none
 */
record Patience(Duration call, Duration normalize, Duration silence, Duration silenceWithHeartbeats, Duration keepAlive,
                Duration keepAliveTimeout, Duration busy) {

    /**
     * What suits a person; a test on a machine with far too much to do asks for more by
     * {@code hemalum.patience.seconds}.
     */
    static Patience usual() {
        int least = Integer.getInteger("hemalum.patience.seconds", 0);
        int call = Math.max(30, least);
        return new Patience(Duration.ofSeconds(call), Duration.ofSeconds(4L * call),
                Duration.ofSeconds(Math.max(300, least)), Duration.ofSeconds(Math.max(120, least)),
                Duration.ofSeconds(20), Duration.ofSeconds(Math.max(10, least / 10)), Duration.ofHours(1));
    }
}
