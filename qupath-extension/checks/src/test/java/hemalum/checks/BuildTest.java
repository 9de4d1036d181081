package hemalum.checks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Properties;
import java.util.jar.JarFile;
import org.junit.jupiter.api.Test;

/** What the jar was told when it was built. */
class BuildTest {

    @Test
    void theJarKnowsItsVersionAndNoUnresolvedProperty() throws IOException {
        Path path = Path.of(System.getProperty("hemalum.jar"));
        try (JarFile jar = new JarFile(path.toFile())) {
            Properties build = new Properties();
            build.load(new InputStreamReader(jar.getInputStream(jar.getEntry("hemalum/client/build.properties")), StandardCharsets.UTF_8));
            String version = jar.getManifest().getMainAttributes().getValue("Implementation-Version");
            assertEquals(version, build.getProperty("version"));
            assertTrue(path.getFileName().toString().endsWith("-" + version + ".jar"));
            for (String name : new String[] {"version", "release", "wheelhouses"})
                assertFalse(build.getProperty(name).contains("$"), name);
            if (build.getProperty("release").isEmpty())
                assertEquals("", build.getProperty("wheelhouses"), "no address, so nothing to fetch");
        }
    }
}
