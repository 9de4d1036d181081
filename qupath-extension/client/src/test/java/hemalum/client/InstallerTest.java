package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import hemalum.client.ServiceException.Kind;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** With the real Python and pip; what needs a wheelhouse is seen inside QuPath. */
class InstallerTest {

    @TempDir
    Path folder;

    private String refused(Path source) {
        List<String> log = new ArrayList<>();
        ServiceException failure = assertThrows(ServiceException.class, () -> Installer.install(Installer.findPython(), folder.resolve("env"), source, log::add));
        assertEquals(Kind.NO_LOCAL_SERVER, failure.kind());
        assertFalse(log.isEmpty());
        return failure.getMessage();
    }

    @Test
    void aSourceThatCannotBeInstalledIsNamed() throws Exception {
        PythonServer.python(); // skipped where there is none
        Path empty = Files.createDirectories(folder.resolve("empty"));
        assertTrue(refused(empty).contains("holds no wheel of hemalum"), refused(empty));
        Path text = Files.writeString(folder.resolve("notes.txt"), "no wheel");
        assertTrue(refused(text).contains("is not a wheel (.whl)"));
        Path broken = Files.writeString(empty.resolve("hemalum-0.1.0-py3-none-any.whl"), "not a zip");
        assertTrue(refused(broken).contains("could not be installed from " + broken));
        assertTrue(refused(empty).contains("The folder must hold the wheels"));
    }

    @Test
    void withoutAPythonTheInstallerIsNamed() {
        ServiceException failure = assertThrows(ServiceException.class, () -> Installer.findPython(List.of(folder)));
        assertEquals(Kind.NO_LOCAL_SERVER, failure.kind());
        assertTrue(failure.getMessage().contains("Install") && failure.getMessage().endsWith("choose Install server again."), failure.getMessage());
    }
}
