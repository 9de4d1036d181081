package hemalum.client;

import hemalum.client.ServiceException.Kind;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Makes a virtual environment and installs the server into it. */
public final class Installer {

    private static final int OLDEST_MINOR = 10, NEWEST_MINOR = 13;
    private static final Pattern VERSION = Pattern.compile("Python 3\\.(\\d+)");
    private static final boolean WINDOWS = System.getProperty("os.name", "").startsWith("Windows");
    private static final boolean MAC = System.getProperty("os.name", "").startsWith("Mac");

    private Installer() {}

    /** The interpreter of the virtual environment in {@code folder}, whether or not it exists. */
    public static Path python(Path folder) {
        return WINDOWS ? folder.resolve("Scripts").resolve("python.exe") : folder.resolve("bin").resolve("python");
    }

    /**
     * A Python that can run the server (3.10 to 3.13) on the search path or in the usual folders.
     *
     * @throws ServiceException of kind {@code NO_LOCAL_SERVER}, naming the installer for this system
     */
    public static Path findPython() {
        return findPython(folders());
    }

    static Path findPython(List<Path> folders) {
        try {
            for (Path candidate : candidates(folders, MAC)) {
                if (Files.isExecutable(candidate) && !Files.isDirectory(candidate) && suits(candidate))
                    return candidate;
            }
        } catch (InterruptedException e) {
            throw cancelled(e);
        }
        String how = WINDOWS ? "install.python.windows" : MAC ? "install.python.mac" : "install.python.linux";
        throw new ServiceException(Kind.NO_LOCAL_SERVER, Texts.get("install.no.python", Texts.get(how)), null);
    }

    static Set<Path> candidates(List<Path> folders, boolean mac) {
        List<String> names = new ArrayList<>();
        for (int minor : new int[] {12, 13, 11, 10})
            names.add("python3." + minor);
        names.add("python3");
        names.add("python");
        Set<Path> found = new LinkedHashSet<>();
        for (String name : names) {
            for (Path folder : folders) {
                // Apple's is no Python there, but asks in a window whether to install developer tools
                if (!mac || !folder.equals(Path.of("/usr/bin")))
                    found.add(folder.resolve(WINDOWS ? name + ".exe" : name));
            }
        }
        return found;
    }

    private static List<Path> folders() {
        List<Path> folders = new ArrayList<>();
        for (String entry : System.getenv().getOrDefault("PATH", "").split(Pattern.quote(File.pathSeparator))) {
            if (!entry.isBlank())
                folders.add(Path.of(entry));
        }
        // programs started from a desktop do not see the shell's search path
        for (String usual : List.of("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin"))
            folders.add(Path.of(usual));
        for (int minor = NEWEST_MINOR; minor >= OLDEST_MINOR; minor--) {
            folders.add(Path.of("/Library/Frameworks/Python.framework/Versions/3." + minor + "/bin"));
            String local = System.getenv("LOCALAPPDATA");
            if (local != null)
                folders.add(Path.of(local, "Programs", "Python", "Python3" + minor));
        }
        return folders;
    }

    private static boolean suits(Path python) throws InterruptedException {
        List<String> lines = new ArrayList<>();
        try {
            if (run(List.of(python.toString(), "--version"), 10, lines::add) != 0)
                return false;
        } catch (IOException e) {
            return false;
        }
        Matcher version = VERSION.matcher(String.join(" ", lines));
        return version.find() && Integer.parseInt(version.group(1)) >= OLDEST_MINOR
                && Integer.parseInt(version.group(1)) <= NEWEST_MINOR;
    }

    /** As below, of the server that this client was built with; without a source it is refused. */
    public static Path install(Path base, Path folder, Path source, Consumer<String> log) {
        if (source == null)
            throw new ServiceException(Kind.NO_LOCAL_SERVER, Texts.get("install.no.source", WheelSource.BUILT), null);
        return install(base, folder, WheelSource.of(source), log);
    }

    /**
     * Makes the environment, or takes or mends the one that is there, and installs or updates the server in it. Nothing
     * comes from a network. What was interrupted can be repeated.
     *
     * @param base   a Python from {@link #findPython}, used only to make the environment
     * @param folder of the environment
     * @param source of the wheels
     * @param log    gets every line of the tools' output
     * @return the environment's interpreter, in which {@code hemalum} can be imported
     * @throws ServiceException of kind {@code NO_LOCAL_SERVER} or {@code CANCELLED} (thread interrupted)
     */
    public static Path install(Path base, Path folder, WheelSource source, Consumer<String> log) {
        Path python = python(folder);
        try {
            source.wheel();
            if (!works(python)) {
                Files.createDirectories(folder.toAbsolutePath().getParent());
                log.accept(Texts.get("install.venv", folder));
                // of a Python that has gone: venv would take such a link for a file that is there
                removeBrokenLinks(python.getParent());
                step(List.of(base.toString(), "-I", "-m", "venv", folder.toString()), log,
                        Texts.get(WINDOWS || MAC ? "install.venv.failed" : "install.venv.failed.linux", folder));
            }
            log.accept(Texts.get("install.server", source.version(), source.path()));
            step(pip(python, source), log, Texts.get("install.failed", source.path()));
            step(List.of(python.toString(), "-I", "-c", "import hemalum; print('hemalum', hemalum.__version__)"), log,
                    Texts.get("install.broken"));
            return python;
        } catch (IOException e) {
            throw new ServiceException(Kind.NO_LOCAL_SERVER, Texts.get("install.error", e.getMessage()), e);
        } catch (InterruptedException e) {
            throw cancelled(e);
        }
    }

    private static ServiceException cancelled(InterruptedException e) {
        Thread.currentThread().interrupt();
        return new ServiceException(Kind.CANCELLED, Texts.get("cancelled"), e);
    }

    /** Whether an environment was made to its end: pip comes last. */
    private static boolean works(Path python) throws IOException, InterruptedException {
        return Files.isExecutable(python) && run(List.of(python.toString(), "-I", "-m", "pip", "--version"), 60,
                line -> { }) == 0;
    }

    private static void removeBrokenLinks(Path folder) throws IOException {
        if (!Files.isDirectory(folder))
            return;
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.toList()) {
                if (Files.isSymbolicLink(file) && !Files.exists(file))
                    Files.delete(file);
            }
        }
    }

    private static List<String> pip(Path python, WheelSource source) throws IOException {
        // --isolated: neither a variable nor a file of settings may add an index
        return List.of(python.toString(), "-I", "-X", "utf8", "-m", "pip", "--isolated", "install", "--upgrade",
                "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--no-index", "--find-links",
                source.folder().toString(), source.wheel().toString());
    }

    private static void step(List<String> command, Consumer<String> log, String otherwise)
            throws IOException, InterruptedException {
        List<String> lines = new ArrayList<>();
        int code = run(command, 3600, line -> {
            lines.add(line);
            log.accept(line);
        });
        if (code != 0) {
            String reason = lines.stream().filter(line -> line.startsWith("ERROR") || line.startsWith("Error"))
                    .findFirst().orElse("");
            throw new ServiceException(Kind.NO_LOCAL_SERVER, (otherwise + " " + reason).strip(), null);
        }
    }

    private static int run(List<String> command, int seconds, Consumer<String> line)
            throws IOException, InterruptedException {
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().keySet().removeIf(name -> name.equals("PYTHONHOME") || name.equals("PYTHONPATH"));
        builder.environment().put("PYTHONIOENCODING", "utf-8");
        Process process = builder.start();
        process.getOutputStream().close();
        Thread reader = new Thread(() -> {
            try (BufferedReader output = new BufferedReader(new InputStreamReader(process.getInputStream(),
                    StandardCharsets.UTF_8))) {
                for (String text; (text = output.readLine()) != null; )
                    line.accept(text);
            } catch (IOException ignored) {
                // ended in the middle of a line
            }
        }, "hemalum-install-log");
        reader.setDaemon(true);
        reader.start();
        try {
            if (!process.waitFor(seconds, TimeUnit.SECONDS))
                throw new IOException(Texts.get("install.slow", command.get(0), seconds));
            reader.join(2000);
            return process.exitValue();
        } finally {
            process.descendants().forEach(ProcessHandle::destroyForcibly);
            process.destroyForcibly();
        }
    }
}
