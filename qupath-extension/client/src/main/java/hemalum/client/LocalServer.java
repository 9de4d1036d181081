package hemalum.client;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonSyntaxException;
import hemalum.client.ServiceException.Kind;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;

/**
 * A server that lives as long as this program: {@code python -m hemalum serve --local-child}.
 * <p>
 * The child chooses a free port and a token and prints both in one line of JSON. Our end of its standard input is its
 * lifeline: when this program ends, however it ends, the operating system closes it and the child stops.
 */
public final class LocalServer implements AutoCloseable {

    private static final int KEPT_LINES = 40;

    private final Process process;
    private final Endpoint endpoint;
    private final String token;

    private LocalServer(Process process, Endpoint endpoint, String token) {
        this.process = process;
        this.endpoint = endpoint;
        this.token = token;
    }

    /**
     * Starts the child and waits until it listens.
     *
     * @param python  interpreter of the environment that hemalum is installed in
     * @param more    further options of {@code hemalum serve}
     * @param seconds how long to wait
     * @param log     gets what the child writes, line by line, from a thread of its own
     * @throws ServiceException of kind {@code NO_LOCAL_SERVER}, with the end of what the child wrote
     */
    public static LocalServer start(Path python, List<String> more, int seconds, Consumer<String> log) {
        if (!Files.isExecutable(python))
            throw failed(Texts.get("local.no.python", python), null);
        List<String> command = new ArrayList<>(List.of(python.toAbsolutePath().toString(), "-m", "hemalum", "serve",
                "--local-child"));
        command.addAll(more);
        ProcessBuilder builder = new ProcessBuilder(command);
        // of the program that we are part of: it must not leak into another Python
        builder.environment().keySet().removeIf(name -> name.equals("PYTHONHOME") || name.equals("PYTHONPATH"));
        builder.environment().put("PYTHONUNBUFFERED", "1");
        builder.environment().put("PYTHONIOENCODING", "utf-8");
        // files of a person (queue.py, token.py …) must not stand for modules of the same name
        builder.environment().put("PYTHONSAFEPATH", "1");
        builder.directory(environment(python).toFile());
        // nothing leaves the machine but what the user asked for
        builder.environment().put("ORT_DISABLE_TELEMETRY", "1");
        builder.environment().put("DO_NOT_TRACK", "1");
        Process process;
        try {
            process = builder.start();
        } catch (IOException e) {
            throw failed(Texts.get("local.python.failed", python, e.getMessage()), e);
        }
        Deque<String> last = new ArrayDeque<>();
        CompletableFuture<JsonObject> hello = new CompletableFuture<>();
        Consumer<String> keep = line -> {
            synchronized (last) {
                last.addLast(line);
                if (last.size() > KEPT_LINES)
                    last.removeFirst();
            }
            log.accept(line);
        };
        Thread errors = drain("hemalum-server-log", process.getErrorStream(), keep, null);
        drain("hemalum-server-out", process.getInputStream(), line -> {
            JsonObject json = object(line);
            if (json != null && json.has("port") && json.has("token"))
                hello.complete(json);
            else
                keep.accept(line);
        }, () -> hello.completeExceptionally(new IOException("the server ended")));
        boolean started = false;
        try {
            JsonObject json = hello.get(seconds, TimeUnit.SECONDS);
            started = true;
            return new LocalServer(process, new Endpoint("127.0.0.1", json.get("port").getAsInt(), false),
                    json.get("token").getAsString());
        } catch (ExecutionException e) {
            join(errors);
            throw failed(Texts.get("local.failed", tail(last)), e.getCause());
        } catch (TimeoutException e) {
            throw failed(Texts.get("local.late", seconds, tail(last)), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ServiceException(Kind.CANCELLED, Texts.get("cancelled"), e);
        } finally {
            if (!started)
                process.destroyForcibly();
        }
    }

    /** Where it listens. */
    public Endpoint endpoint() {
        return endpoint;
    }

    /** What it asks of clients. */
    public String token() {
        return token;
    }

    /** Whether it still runs. */
    public boolean isAlive() {
        return process.isAlive();
    }

    /** The operating system's number of the process. */
    public long pid() {
        return process.pid();
    }

    /** Ends the child: politely by closing its input, after three seconds by force. */
    @Override
    public void close() {
        try {
            process.getOutputStream().close();
        } catch (IOException ignored) {
            // it had ended before
        }
        try {
            if (!process.waitFor(3, TimeUnit.SECONDS))
                process.destroyForcibly();
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }

    /** The folder that an interpreter's packages lie in. */
    private static Path environment(Path python) {
        Path folder = python.toAbsolutePath().getParent();
        Path above = folder.getParent();
        return above != null && Files.exists(above.resolve("pyvenv.cfg")) ? above : folder;
    }

    private static Thread drain(String name, InputStream stream, Consumer<String> line, Runnable end) {
        Thread thread = new Thread(() -> {
            try (BufferedReader reader = new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8))) {
                for (String text; (text = reader.readLine()) != null; )
                    line.accept(text);
            } catch (IOException ignored) {
                // the child ended in the middle of a line
            } finally {
                if (end != null)
                    end.run();
            }
        }, name);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private static void join(Thread thread) {
        try {
            thread.join(1000);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static JsonObject object(String line) {
        if (!line.startsWith("{"))
            return null;
        try {
            return JsonParser.parseString(line).getAsJsonObject();
        } catch (JsonSyntaxException | IllegalStateException e) {
            return null;
        }
    }

    private static String tail(Deque<String> last) {
        List<String> lines;
        synchronized (last) {
            lines = new ArrayList<>(last);
        }
        lines.removeIf(String::isBlank);
        if (lines.stream().anyMatch(line -> line.contains("No module named") && line.contains("hemalum")))
            return Texts.get("local.not.installed");
        return lines.isEmpty() ? Texts.get("local.silent") : Texts.get("local.said", lines.get(lines.size() - 1));
    }

    private static ServiceException failed(String sentence, Throwable cause) {
        return new ServiceException(Kind.NO_LOCAL_SERVER, sentence, cause);
    }
}
