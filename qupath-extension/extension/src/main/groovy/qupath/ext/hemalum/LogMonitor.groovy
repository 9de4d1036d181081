package qupath.ext.hemalum

import groovy.transform.CompileStatic
import org.slf4j.Logger
import org.slf4j.LoggerFactory

/** What a script's run says: every tenth of it, in the log. */
@CompileStatic
final class LogMonitor implements Monitor {

    private static final Logger logger = LoggerFactory.getLogger(LogMonitor)

    private int tenth

    @Override
    void progress(int read, int sent, int done, int settled, int total, long nuclei, double seconds) {
        int now = total == 0 ? 10 : (int) (10L * done / total)
        if (now > tenth) {
            tenth = now
            logger.info('Hemalum: {} % of {} tiles, {} nuclei, {} s', 10 * now, total, nuclei, Math.round(seconds))
        }
    }
}
