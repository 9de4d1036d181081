package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.Endpoint
import hemalum.client.Installer
import hemalum.client.LocalServer
import hemalum.client.NucleiClient
import hemalum.client.ServiceException
import java.nio.file.Path
import javafx.application.Platform
import org.slf4j.Logger
import org.slf4j.LoggerFactory

/** Connections to the server of the preferences, to one that a script names, or to a local one that is started when needed. */
@CompileStatic
final class Connections {

    private static final Logger logger = LoggerFactory.getLogger(Connections)
    private static final int START_SECONDS = 90
    private static LocalServer local
    private static Path startedFrom

    private Connections() {}

    /** What the server's log calls us. */
    static String clientName() {
        'QuPath extension ' + (Connections.package?.implementationVersion ?: 'development')
    }

    /**
     * A connection, to be closed by the caller. Takes time: never call it on the user interface's thread.
     *
     * @param settings whose server, token and authority count where given
     * @throws ServiceException with a sentence for the user
     */
    static NucleiClient open(Settings settings) {
        String address = settings.server ?: Preferences.serverAddress.get()
        if (address?.trim()) {
            Endpoint endpoint = Endpoint.parse(address)
            String token = settings.token ?: Preferences.token(endpoint)
            String authority = settings.authority ?: Preferences.authorityFile.get()
            return NucleiClient.connect(endpoint, token, authority?.trim() ? Path.of(authority.trim()) : null, clientName())
        }
        openLocal()
    }

    /** What is done with a connection away from the user interface's thread. */
    @CompileStatic
    static interface Work {
        void use(NucleiClient client)
    }

    /** Does {@code work} with a connection, on a thread of its own; what goes wrong is told. */
    static void away(String name, Work work) {
        def thread = new Thread({
            try {
                NucleiClient client = open(new Settings())
                try {
                    work.use(client)
                } finally {
                    client.close()
                }
            } catch (Exception e) {
                Platform.runLater { SegmentCommand.tell(e) }
            }
        }, name)
        thread.daemon = true
        thread.start()
    }

    /** A connection to the server on this computer, whatever the preferences name; otherwise as {@link #open}. */
    static NucleiClient openLocal() {
        LocalServer server = startLocal()
        NucleiClient.connect(server.endpoint(), server.token(), null, clientName())
    }

    /** Whether {@link #open} would start or use a server on this computer. */
    static boolean isLocal(Settings settings) {
        !(settings.server ?: Preferences.serverAddress.get())?.trim()
    }

    /** The interpreter that the local server runs in. */
    static Path python() {
        Installer.python(Path.of(Preferences.environment.get()))
    }

    /** The local server, started if it does not run, or runs from another environment than the preferences name now. */
    static synchronized LocalServer startLocal() {
        Path wanted = python()
        if (local == null || !local.isAlive() || wanted != startedFrom) {
            stopLocal()
            logger.info('Starting a local Hemalum server in {}', Preferences.environment.get())
            local = LocalServer.start(wanted, [], START_SECONDS) { String line -> logger.debug('server: {}', line) }
            startedFrom = wanted
        }
        local
    }

    /** Ends the local server if there is one. */
    static synchronized void stopLocal() {
        local?.close()
        local = null
    }
}
