package hemalum.client;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The real server, for tests: started as a user would, with a model that needs no training. */
final class PythonServer {

    static final Path ROOT = Path.of(System.getProperty("hemalum.root")).toAbsolutePath().normalize();

    private PythonServer() {}

    /** An interpreter in which the server can be imported; the test is skipped, and says so, where there is none. */
    static Path python() {
        String given = System.getProperty("hemalum.python");
        Path python = given == null || given.isBlank() ? Installer.python(ROOT.resolve(".venv")) : Path.of(given);
        assumeTrue(Files.isExecutable(python), "SKIPPED: no Python environment with the server (-Dhemalum.python=…)");
        return python;
    }

    /** Writes the tests' toy model and returns its folder. */
    static Path toyModels(Path folder) throws Exception {
        String script = "import sys, pathlib; sys.path.insert(0, 'tests'); from conftest import write_toy_model; write_toy_model(pathlib.Path(sys.argv[1]))";
        Process process = new ProcessBuilder(python().toString(), "-c", script, folder.toString())
                .directory(ROOT.toFile())
                .redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assumeTrue(process.waitFor() == 0, "SKIPPED: the toy model could not be made: " + said);
        return folder;
    }

    /** A server with TLS and a token, on a free port. */
    static final class Tls implements AutoCloseable {
        final Process process;
        final Path authority;
        final String token;
        final int port;

        /** @param names of the certificate, or none for those that the command makes it for */
        Tls(Path folder, Path models, String... names) throws Exception {
            List<String> make = new ArrayList<>(names.length == 0
                    ? List.of(python().toString(), "-m", "hemalum", "serve", "--init-tls", folder.toString())
                    : List.of(python().toString(), "-c",
                    "import sys, pathlib; from hemalum.service.tls import init_tls; "
                            + "init_tls(pathlib.Path(sys.argv[1]), sys.argv[2:])", folder.toString()));
            make.addAll(List.of(names));
            run(make);
            authority = folder.resolve("ca.crt");
            token = Files.readString(folder.resolve("token")).strip();
            List<String> command = List.of(python().toString(), "-m", "hemalum", "serve", "--port", "0", "--tls-cert",
                    folder.resolve("server.crt").toString(), "--tls-key", folder.resolve("server.key").toString(),
                    "--token-file", folder.resolve("token").toString(), "--models", models.toString());
            process = new ProcessBuilder(command).directory(ROOT.toFile()).redirectErrorStream(true).start();
            BufferedReader lines = new BufferedReader(new InputStreamReader(process.getInputStream(),
                    StandardCharsets.UTF_8));
            List<String> said = new ArrayList<>();
            int found = 0;
            for (String line; found == 0 && (line = lines.readLine()) != null; said.add(line)) {
                var at = java.util.regex.Pattern.compile("serves on \\S+:(\\d+)").matcher(line);
                if (at.find())
                    found = Integer.parseInt(at.group(1));
            }
            if (found == 0)
                throw new IOException(String.join("\n", said));
            port = found;
            Thread drain = new Thread(() -> lines.lines().forEach(line -> { }));
            drain.setDaemon(true);
            drain.start();
        }

        @Override
        public void close() throws Exception {
            process.destroy();
            if (!process.waitFor(60, TimeUnit.SECONDS))
                process.destroyForcibly();
        }
    }

    /** A server of other API versions than ours, without a token. */
    static final class Odd implements AutoCloseable {
        final Process process;
        final Endpoint endpoint;

        Odd(Path models, int version, int oldest) throws Exception {
            String settings = String.format("{\"models\": [\"%s\"], \"API_VERSION\": %d, \"OLDEST_API_VERSION\": %d}",
                    models.toString().replace('\\', '/'), version, oldest);
            process = new ProcessBuilder(python().toString(), ROOT.resolve("tests/service/odd_server.py").toString(),
                    settings)
                    .redirectError(ProcessBuilder.Redirect.DISCARD).start();
            String line = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))
                    .readLine();
            endpoint = new Endpoint("127.0.0.1", Integer.parseInt(line.strip()), false);
        }

        @Override
        public void close() throws Exception {
            process.getOutputStream().close();
            process.waitFor();
        }
    }

    static void run(List<String> command) throws Exception {
        Process process = new ProcessBuilder(command).directory(ROOT.toFile()).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (process.waitFor() != 0)
            throw new IOException(said);
    }
}
