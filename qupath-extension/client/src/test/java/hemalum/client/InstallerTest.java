package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import hemalum.client.ServiceException.Kind;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** With the real Python and pip, and a wheel that needs nothing; the real one is installed inside QuPath. */
class InstallerTest {

    @TempDir
    Path folder;
    private final List<String> log = new ArrayList<>();

    private String refused(WheelSource source) {
        ServiceException failure = assertThrows(ServiceException.class,
                () -> Installer.install(Installer.findPython(), folder.resolve("env"), source, log::add));
        assertEquals(Kind.NO_LOCAL_SERVER, failure.kind());
        return failure.getMessage();
    }

    /** A wheel of hemalum that can be imported and does nothing. */
    private static Path wheel(Path folder, String version, String requires) throws Exception {
        Path wheel = Files.createDirectories(folder).resolve("hemalum-" + version + "-py3-none-any.whl");
        String info = "hemalum-" + version + ".dist-info/";
        String[][] files = {{"hemalum/__init__.py", "__version__ = '" + version + "'\n"},
            {info + "METADATA", "Metadata-Version: 2.1\nName: hemalum\nVersion: " + version + "\n" + requires},
            {info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
            {info + "RECORD", ""}};
        try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(wheel))) {
            for (String[] file : files) {
                zip.putNextEntry(new ZipEntry(file[0]));
                zip.write(file[1].getBytes(StandardCharsets.UTF_8));
            }
        }
        return wheel;
    }

    @Test
    void theVersionIsTheServers() throws Exception {
        assumeFalse(WheelSource.BUILT.endsWith("-SNAPSHOT"), "SKIPPED: built by hand, without -Drevision");
        String server = Files.readString(PythonServer.ROOT.resolve("server/hemalum/__init__.py"));
        assertTrue(server.contains("__version__ = \"" + WheelSource.BUILT + "\""), WheelSource.BUILT);
    }

    @Test
    void aSourceThatCannotBeInstalledIsNamed() throws Exception {
        PythonServer.python(); // skipped where there is none
        Path empty = Files.createDirectories(folder.resolve("empty"));
        assertTrue(refused(WheelSource.of(empty)).contains("holds no wheel of hemalum"));
        assertTrue(refused(WheelSource.of(folder.resolve("nowhere.whl"))).contains("is not a wheel (.whl)"));
        Path text = Files.writeString(folder.resolve("notes.txt"), "no wheel");
        assertTrue(refused(WheelSource.of(text)).contains("is not a wheel (.whl)"));
        Path other = wheel(folder.resolve("other"), "9.9.9", "");
        assertTrue(refused(WheelSource.of(other)).contains("is another version than " + WheelSource.BUILT));
        assertTrue(refused(WheelSource.of(other.getParent())).contains("is another version than " + WheelSource.BUILT));
        assertTrue(refused(new WheelSource(other, "9.9.9", "00")).contains("SHA-256"));
        assertFalse(Files.exists(folder.resolve("env")), "nothing is made for a source that cannot be used");
        Path broken = Files.writeString(empty.resolve("hemalum-" + WheelSource.BUILT + "-py3-none-any.whl"),
                "not a zip");
        assertTrue(refused(WheelSource.of(broken)).contains("could not be installed from " + broken));
        assertTrue(refused(WheelSource.of(empty)).contains("The folder must hold the wheels"));
    }

    @Test
    void noSourceIsNoPackageIndex() {
        ServiceException failure = assertThrows(ServiceException.class,
                () -> Installer.install(folder.resolve("python"), folder.resolve("env"), (Path) null, log::add));
        assertEquals(Kind.NO_LOCAL_SERVER, failure.kind());
        assertTrue(failure.getMessage().contains("hemalum-" + WheelSource.BUILT), failure.getMessage());
        assertTrue(log.isEmpty());
    }

    @Test
    void whatTheWheelNeedsComesFromNoNetworkEither() throws Exception {
        PythonServer.python();
        Path wheel = wheel(folder.resolve("wheels"), "7.8.9", "Requires-Dist: iniconfig\n");
        assertTrue(refused(new WheelSource(wheel, "7.8.9", null)).contains("iniconfig"), log.toString());
        assertTrue(log.stream().noneMatch(line -> line.contains("http")), log.toString());
    }

    @Test
    void installingCanBeRepeatedAndMendsWhatWasInterrupted() throws Exception {
        PythonServer.python();
        assumeFalse(System.getProperty("os.name").startsWith("Windows"),
                "links stand for an interpreter that has gone");
        Path env = folder.resolve("env"), base = Installer.findPython();
        Path wheel = wheel(folder.resolve("wheels"), "7.8.9", "");
        String digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256")
                .digest(Files.readAllBytes(wheel)));
        WheelSource source = new WheelSource(wheel.getParent(), "7.8.9", digest.toUpperCase(Locale.ROOT));
        // a window that was closed while the environment was made leaves an interpreter without pip
        PythonServer.run(List.of(base.toString(), "-m", "venv", "--without-pip", env.toString()));
        Path python = Installer.install(base, env, source, log::add);
        assertTrue(log.contains("hemalum 7.8.9"), log.toString());
        log.clear();
        Installer.install(base, env, source, log::add);
        assertTrue(log.contains("hemalum 7.8.9") && log.stream().noneMatch(line -> line.startsWith("Making")),
                log.toString());
        // the Python that it was made with is gone
        for (String name : List.of("python", "python3")) {
            Files.deleteIfExists(python.resolveSibling(name));
            Files.createSymbolicLink(python.resolveSibling(name), folder.resolve("gone"));
        }
        Installer.install(base, env, source, log::add);
        assertTrue(log.contains("hemalum 7.8.9"), log.toString());
    }

    @Test
    void withoutAPythonTheInstallerIsNamed() {
        ServiceException failure = assertThrows(ServiceException.class, () -> Installer.findPython(List.of(folder)));
        assertEquals(Kind.NO_LOCAL_SERVER, failure.kind());
        assertTrue(failure.getMessage().contains("Install")
                && failure.getMessage().endsWith("choose Install server again."), failure.getMessage());
    }

    @Test
    void anInterruptEndsTheSearch() throws Exception {
        assumeFalse(System.getProperty("os.name").startsWith("Windows"), "a shell script stands for Python");
        for (String name : List.of("python3.12", "python3.11")) {
            Path slow = Files.writeString(folder.resolve(name), "#!/bin/sh\nsleep 60\n");
            Files.setPosixFilePermissions(slow, PosixFilePermissions.fromString("rwx------"));
        }
        Thread.currentThread().interrupt();
        ServiceException failure = assertThrows(ServiceException.class, () -> Installer.findPython(List.of(folder)));
        assertTrue(Thread.interrupted());
        assertEquals(Kind.CANCELLED, failure.kind());
    }

    @Test
    void applesStandInForPythonIsNotStarted() {
        Path own = Path.of("/usr/bin/python3");
        assertFalse(Installer.candidates(List.of(Path.of("/usr/bin"), Path.of("/opt/homebrew/bin")), true)
                .contains(own));
        assertTrue(Installer.candidates(List.of(Path.of("/usr/bin")), false).stream()
                .anyMatch(path -> path.startsWith("/usr/bin")));
    }
}
