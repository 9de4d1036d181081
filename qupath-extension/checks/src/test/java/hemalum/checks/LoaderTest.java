package hemalum.checks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.InvocationTargetException;
import java.net.ServerSocket;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * QuPath's way of loading: the jar in a child loader that asks its parent first, and a parent that already has other, older versions
 * of what we carry.
 */
class LoaderTest {

    private static final Path JAR = Path.of(System.getProperty("hemalum.jar"));
    private static final Path ELDERS = Path.of(System.getProperty("hemalum.elders"));

    /** The loader of extensions, with Groovy of this version above it. */
    private static URLClassLoader extensions(String groovy) throws Exception {
        List<URL> above = new ArrayList<>();
        try (Stream<Path> jars = Files.list(ELDERS)) {
            for (Path jar : jars.toList()) {
                String name = jar.getFileName().toString();
                if (!name.startsWith("groovy-") || name.equals("groovy-" + groovy + ".jar"))
                    above.add(jar.toUri().toURL());
            }
        }
        URLClassLoader application = new URLClassLoader(above.toArray(URL[]::new), ClassLoader.getPlatformClassLoader());
        assertNotNull(application.loadClass("com.google.protobuf.Message"), "an old protobuf must be above");
        assertNotNull(application.loadClass("io.grpc.Status"), "another gRPC must be above");
        return new URLClassLoader(new URL[] {JAR.toUri().toURL()}, application);
    }

    private static int closedPort() throws Exception {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"4.0.26", "5.0.4"})
    void connectsBesideOlderLibraries(String groovy) throws Exception {
        try (URLClassLoader loader = extensions(groovy)) {
            Class<?> endpoint = loader.loadClass("hemalum.client.Endpoint");
            Class<?> client = loader.loadClass("hemalum.client.NucleiClient");
            Object address = endpoint.getMethod("parse", String.class).invoke(null, "127.0.0.1:" + closedPort());
            Object connection = client.getMethod("connect", endpoint, String.class, Path.class, String.class)
                    .invoke(null, address, "token", null, "loader test");
            // resolver, load balancer, transport and generated code all have to be found to come as far as this
            InvocationTargetException failure = assertThrows(InvocationTargetException.class, () -> client.getMethod("info").invoke(connection));
            Throwable sentence = failure.getCause();
            assertEquals("NOTHING_LISTENING", sentence.getClass().getMethod("kind").invoke(sentence).toString(), sentence.toString());
            client.getMethod("close").invoke(connection);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"4.0.26", "5.0.4"})
    void groovyOfEitherVersionRunsIt(String groovy) throws Exception {
        try (URLClassLoader loader = extensions(groovy)) {
            Class<?> hemalum = loader.loadClass("qupath.ext.hemalum.Settings");
            Object settings = hemalum.getDeclaredConstructor().newInstance();
            hemalum.getMethod("setModel", String.class).invoke(settings, "it's \\ nuclei");
            hemalum.getMethod("setProbability", Double.class).invoke(settings, 0.5);
            hemalum.getMethod("setPartArea", Double.class).invoke(settings, 2.5);
            Object copy = hemalum.getMethod("copy").invoke(settings);
            assertEquals("Hemalum.builder()\n    .model('it\\'s \\\\ nuclei')\n    .probability(0.5)\n    .partArea(2.5)\n    .build()",
                    hemalum.getMethod("script").invoke(copy));
        }
    }

    @Test
    void textsAreThere() throws Exception {
        try (URLClassLoader loader = extensions("4.0.26")) {
            Object text = loader.loadClass("qupath.ext.hemalum.Strings").getMethod("get", String.class, Object[].class)
                    .invoke(null, "done", new Object[] {7});
            assertTrue(text.toString().contains("7"));
        }
    }
}
