package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the child is started with. */
class LocalServerTest {

    @TempDir
    Path folder;

    @Test
    void aFileInTheHomeFolderDoesNotBecomePartOfTheServer() throws Exception {
        Path ran = folder.resolve("ran");
        for (String name : List.of("queue.py", "token.py", "types.py", "hemalum.py"))
            Files.writeString(folder.resolve(name), "open(" + '"' + ran.toString().replace('\\', '/') + '"'
                    + ", 'w').close()\nraise SystemExit(1)\n");
        String home = System.setProperty("user.home", folder.toString());
        try (LocalServer server = LocalServer.start(PythonServer.python(), List.of(), 600, line -> { })) {
            assertFalse(Files.exists(ran));
        } finally {
            System.setProperty("user.home", home);
        }
    }

    @Test
    void theChildStartsInItsOwnFolderAndTellsNobody() throws Exception {
        assumeFalse(System.getProperty("os.name").startsWith("Windows"), "a shell script stands for Python");
        Path bin = Files.createDirectories(folder.resolve("env/bin"));
        Files.writeString(folder.resolve("env/pyvenv.cfg"), "");
        Path python = Files.writeString(bin.resolve("python"), """
                #!/bin/sh
                echo "{\\"port\\": 1, \\"token\\": \\"$ORT_DISABLE_TELEMETRY $DO_NOT_TRACK $PYTHONSAFEPATH $(pwd)\\"}"
                cat > /dev/null
                """);
        Files.setPosixFilePermissions(python, PosixFilePermissions.fromString("rwx------"));
        try (LocalServer server = LocalServer.start(python, List.of(), 60, line -> { })) {
            assertEquals("1 1 1 " + folder.resolve("env").toRealPath(), server.token());
        }
    }
}
