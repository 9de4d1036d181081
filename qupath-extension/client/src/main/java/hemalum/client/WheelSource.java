package hemalum.client;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/**
 * Where a server is installed from: files on this computer or a share, never a package index, where anyone may own the
 * name.
 *
 * @param path    a wheel of hemalum, or a folder with it; the wheels of all that it needs lie beside it
 * @param version that is installed, and no other; {@link #BUILT} unless a person says otherwise
 * @param sha256  of hemalum's wheel, in hexadecimal digits; null: not checked
 */
public record WheelSource(Path path, String version, String sha256) {

    /** The version of the server that this client was built with. */
    public static final String BUILT = Build.version();

    /** The server that this client was built with. */
    public static WheelSource of(Path path) {
        return new WheelSource(path, BUILT, null);
    }

    /** The folder that all wheels lie in. */
    Path folder() {
        return Files.isDirectory(path) ? path : path.toAbsolutePath().getParent();
    }

    /**
     * The wheel of hemalum.
     *
     * @throws IOException with a sentence where there is none of this version, or its digest is another
     */
    Path wheel() throws IOException {
        Path wheel;
        if (Files.isDirectory(path)) {
            List<Path> all = wheels(path);
            if (all.isEmpty())
                throw new IOException(Texts.get("install.no.wheel", path));
            wheel = all.stream().filter(this::suits).findFirst().orElseThrow(() -> wrongVersion(all.get(0)));
        } else {
            if (!path.toString().toLowerCase(Locale.ROOT).endsWith(".whl") || !Files.isRegularFile(path))
                throw new IOException(Texts.get("install.not.a.wheel", path));
            if (!suits(path))
                throw wrongVersion(path);
            wheel = path;
        }
        if (sha256 != null && !sha256.strip().equalsIgnoreCase(digest(wheel)))
            throw new IOException(Texts.get("install.wrong.digest", wheel));
        return wheel;
    }

    private boolean suits(Path wheel) {
        return wheel.getFileName().toString().toLowerCase(Locale.ROOT).startsWith("hemalum-" + version + "-");
    }

    private IOException wrongVersion(Path wheel) {
        return new IOException(Texts.get("install.wrong.version", wheel.getFileName(), version));
    }

    private static List<Path> wheels(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(file -> file.getFileName().toString().matches("(?i)hemalum-.*\\.whl")).sorted()
                    .toList();
        }
    }

    private static String digest(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file);
             DigestInputStream digested = new DigestInputStream(in, MessageDigest.getInstance("SHA-256"))) {
            digested.transferTo(OutputStream.nullOutputStream());
            return HexFormat.of().formatHex(digested.getMessageDigest().digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every Java has it
        }
    }
}
