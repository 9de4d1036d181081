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
import java.util.Locale;
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
        for (Path candidate : candidates(folders)) {
            if (Files.isExecutable(candidate) && !Files.isDirectory(candidate) && suits(candidate))
                return candidate;
        }
        String where = WINDOWS ? "Install Python 3.12 from the Microsoft Store or python.org"
                : MAC ? "Install Python 3.12 from python.org, or with 'brew install python@3.12'"
                : "Install it with your system's package manager, for example 'sudo apt install python3 python3-venv'";
        throw new ServiceException(Kind.NO_LOCAL_SERVER,
                "No Python 3.10 to 3.13 was found on this computer. " + where + ", then choose Install server again.", null);
    }

    private static Set<Path> candidates(List<Path> folders) {
        List<String> names = new ArrayList<>();
        for (int minor : new int[] {12, 13, 11, 10})
            names.add("python3." + minor);
        names.add("python3");
        names.add("python");
        Set<Path> found = new LinkedHashSet<>();
        for (String name : names) {
            for (Path folder : folders)
                found.add(folder.resolve(WINDOWS ? name + ".exe" : name));
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

    private static boolean suits(Path python) {
        List<String> lines = new ArrayList<>();
        try {
            if (run(List.of(python.toString(), "--version"), null, 10, lines::add) != 0)
                return false;
        } catch (IOException | InterruptedException e) {
            return false;
        }
        Matcher version = VERSION.matcher(String.join(" ", lines));
        return version.find() && Integer.parseInt(version.group(1)) >= OLDEST_MINOR && Integer.parseInt(version.group(1)) <= NEWEST_MINOR;
    }

    /**
     * Makes the environment, or takes the one that is there, and installs or updates the server in it.
     *
     * @param base   a Python from {@link #findPython}, used only to make the environment
     * @param folder of the environment
     * @param source a wheel file, a folder of wheels (then nothing is taken from a network), or null for the package index
     * @param log    gets every line of the tools' output
     * @return the environment's interpreter, in which {@code hemalum} can be imported
     * @throws ServiceException of kind {@code NO_LOCAL_SERVER} or {@code CANCELLED} (thread interrupted)
     */
    public static Path install(Path base, Path folder, Path source, Consumer<String> log) {
        Path python = python(folder);
        try {
            if (!Files.isExecutable(python)) {
                Files.createDirectories(folder.toAbsolutePath().getParent());
                log.accept("Making an environment in " + folder + " …");
                step(List.of(base.toString(), "-m", "venv", folder.toString()), folder, log,
                        WINDOWS || MAC ? "The environment could not be made in " + folder + "."
                                : "The environment could not be made in " + folder + ". On Debian and Ubuntu, 'sudo apt install python3-venv' may be missing.");
            }
            log.accept("Installing the server …");
            step(pip(python, source), folder, log, source == null
                    ? "The server could not be installed from the package index. Without a network, choose a folder of wheels instead."
                    : "The server could not be installed from " + source + ". The folder must hold the wheels of hemalum and of all it needs, for this system and this Python.");
            step(List.of(python.toString(), "-c", "import hemalum; print('hemalum', hemalum.__version__)"), folder, log,
                    "The server was installed, but cannot be started.");
            return python;
        } catch (IOException e) {
            throw new ServiceException(Kind.NO_LOCAL_SERVER, "The server could not be installed: " + e.getMessage() + ".", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ServiceException(Kind.CANCELLED, "Cancelled.", e);
        }
    }

    private static List<String> pip(Path python, Path source) throws IOException {
        List<String> command = new ArrayList<>(List.of(python.toString(), "-m", "pip", "install", "--upgrade", "--disable-pip-version-check",
                "--no-input", "--progress-bar", "off"));
        if (source == null) {
            command.add("hemalum");
        } else if (Files.isDirectory(source)) {
            if (wheels(source).isEmpty())
                throw new IOException("the folder " + source + " holds no wheel of hemalum (hemalum-….whl)");
            command.addAll(List.of("--no-index", "--find-links", source.toString(), "hemalum"));
        } else {
            if (!source.getFileName().toString().toLowerCase(Locale.ROOT).endsWith(".whl"))
                throw new IOException(source + " is not a wheel (.whl)");
            command.add(source.toString());
        }
        return command;
    }

    private static List<Path> wheels(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(file -> file.getFileName().toString().matches("(?i)hemalum-.*\\.whl")).toList();
        }
    }

    private static void step(List<String> command, Path folder, Consumer<String> log, String otherwise) throws IOException, InterruptedException {
        List<String> lines = new ArrayList<>();
        int code = run(command, folder, 3600, line -> {
            lines.add(line);
            log.accept(line);
        });
        if (code != 0) {
            String reason = lines.stream().filter(line -> line.startsWith("ERROR") || line.startsWith("Error")).findFirst().orElse("");
            throw new ServiceException(Kind.NO_LOCAL_SERVER, (otherwise + " " + reason).strip(), null);
        }
    }

    private static int run(List<String> command, Path folder, int seconds, Consumer<String> line) throws IOException, InterruptedException {
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().keySet().removeIf(name -> name.equals("PYTHONHOME") || name.equals("PYTHONPATH"));
        builder.environment().put("PYTHONIOENCODING", "utf-8");
        Process process = builder.start();
        process.getOutputStream().close();
        Thread reader = new Thread(() -> {
            try (BufferedReader output = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
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
                throw new IOException(command.get(0) + " did not end within " + seconds + " seconds");
            reader.join(2000);
            return process.exitValue();
        } finally {
            process.descendants().forEach(ProcessHandle::destroyForcibly);
            process.destroyForcibly();
        }
    }
}
