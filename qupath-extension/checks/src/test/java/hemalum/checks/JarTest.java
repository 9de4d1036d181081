package hemalum.checks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarFile;
import org.junit.jupiter.api.Test;

/** The finished jar: small enough, wholly relocated, and calling nothing that its signatures module does not list. */
class JarTest {

    private static final Path JAR = Path.of(System.getProperty("hemalum.jar"));
    private static final Path SIGNATURES = Path.of(System.getProperty("hemalum.signatures"));

    @Test
    void isSmallAndSaysItsVersion() throws Exception {
        assertTrue(Files.size(JAR) <= 10_000_000, Files.size(JAR) + " bytes");
        try (JarFile jar = new JarFile(JAR.toFile())) {
            assertTrue(jar.getManifest().getMainAttributes().getValue("Implementation-Version").matches("\\d+\\.\\d+\\.\\d+.*"));
        }
    }

    @Test
    void holdsNothingThatAnotherExtensionMayBringToo() throws Exception {
        for (String name : new ClassFiles(List.of(JAR)).names())
            assertTrue(name.startsWith("hemalum/") || name.startsWith("qupath/ext/hemalum/"), name);
    }

    @Test
    void isReadByJava21() throws Exception {
        ClassFiles own = new ClassFiles(List.of(JAR));
        for (String name : own.names()) {
            byte[] head = own.of(name);
            assertTrue((head[6] << 8 | head[7]) <= 65, name);
        }
    }

    @Test
    void gRPCFindsItsProviders() throws Exception {
        try (JarFile jar = new JarFile(JAR.toFile())) {
            for (String service : List.of("NameResolverProvider", "LoadBalancerProvider")) {
                var entry = jar.getEntry("META-INF/services/hemalum.shaded.grpc." + service);
                assertFalse(entry == null, service);
                assertTrue(new String(jar.getInputStream(entry).readAllBytes()).contains("hemalum.shaded.grpc."));
            }
        }
    }

    @Test
    void callsWhatTheSignaturesListAndNothingElse() throws Exception {
        Map<String, Set<String>> needed = References.of(JAR);
        needed.keySet().removeIf(name -> !name.startsWith("qupath/"));
        ClassFiles listed = new ClassFiles(List.of(SIGNATURES));
        assertEquals(List.of(), References.missing(needed, listed));
        // a signature that nobody calls is a promise that nobody checks
        Set<String> called = new TreeSet<>();
        needed.values().forEach(called::addAll);
        Set<String> idle = new TreeSet<>();
        for (String name : listed.names()) {
            for (String member : listed.shape(name).members()) {
                boolean structural = member.startsWith("<") || member.startsWith("values()") || member.startsWith("valueOf(") || member.startsWith("$");
                if (!structural && !called.contains(member) && !implementedByUs(name))
                    idle.add(name + "." + member);
            }
        }
        assertEquals(Set.of(), idle);
    }

    private static boolean implementedByUs(String name) {
        return name.endsWith("/PathOverlay") || name.endsWith("/PathObjectHierarchyListener") || name.endsWith("/ImageRenderer") || name.endsWith("/QuPathExtension");
    }
}
