package hemalum.checks;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.FieldVisitor;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/** The classes of some folders and jars, read without being loaded. */
final class ClassFiles {

    /** A class and what it declares; members as {@code name + descriptor}. */
    record Shape(String name, String parent, List<String> interfaces, Set<String> members) {}

    private final Map<String, byte[]> bytes = new HashMap<>();
    private final Map<String, Shape> shapes = new HashMap<>();

    /** @param roots folders of classes, jars, or folders that hold jars anywhere below */
    ClassFiles(List<Path> roots) throws IOException {
        for (Path root : roots) {
            if (Files.isDirectory(root)) {
                try (Stream<Path> files = Files.walk(root)) {
                    for (Path file : files.filter(Files::isRegularFile).toList()) {
                        String name = root.relativize(file).toString().replace(File.separatorChar, '/');
                        if (name.endsWith(".jar"))
                            jar(file);
                        else if (name.endsWith(".class"))
                            bytes.putIfAbsent(name.substring(0, name.length() - 6), Files.readAllBytes(file));
                    }
                }
            } else {
                jar(root);
            }
        }
    }

    private void jar(Path file) throws IOException {
        try (JarFile jar = new JarFile(file.toFile())) {
            for (var entry : jar.stream().filter(e -> e.getName().endsWith(".class") && !e.getName().startsWith("META-INF/")).toList()) {
                try (InputStream stream = jar.getInputStream(entry)) {
                    bytes.putIfAbsent(entry.getName().substring(0, entry.getName().length() - 6), stream.readAllBytes());
                }
            }
        }
    }

    /** The names of all classes, with slashes. */
    Set<String> names() {
        return bytes.keySet();
    }

    byte[] of(String name) {
        return bytes.get(name);
    }

    /** The class, from here or from the running Java; null if there is none. */
    Shape shape(String name) {
        return shapes.computeIfAbsent(name, key -> {
            byte[] found = bytes.get(key);
            if (found == null) {
                try (InputStream stream = ClassLoader.getPlatformClassLoader().getResourceAsStream(key + ".class")) {
                    found = stream == null ? null : stream.readAllBytes();
                } catch (IOException e) {
                    return null;
                }
            }
            return found == null ? null : read(found);
        });
    }

    /** Whether the class or one it inherits from declares the member. */
    boolean has(String owner, String member) {
        Set<String> seen = new HashSet<>();
        List<String> todo = new ArrayList<>(List.of(owner, "java/lang/Object"));
        while (!todo.isEmpty()) {
            String name = todo.remove(todo.size() - 1);
            Shape shape = name == null || !seen.add(name) ? null : shape(name);
            if (shape == null)
                continue;
            if (shape.members().contains(member))
                return true;
            todo.add(shape.parent());
            todo.addAll(shape.interfaces());
        }
        return false;
    }

    private static Shape read(byte[] found) {
        Set<String> members = new HashSet<>();
        String[] heads = new String[2];
        List<String> interfaces = new ArrayList<>();
        new ClassReader(found).accept(new ClassVisitor(Opcodes.ASM9) {
            @Override
            public void visit(int version, int access, String name, String signature, String parent, String[] all) {
                heads[0] = name;
                heads[1] = parent;
                interfaces.addAll(List.of(all));
            }

            @Override
            public FieldVisitor visitField(int access, String name, String descriptor, String signature, Object value) {
                members.add(name + " " + descriptor);
                return null;
            }

            @Override
            public MethodVisitor visitMethod(int access, String name, String descriptor, String signature, String[] exceptions) {
                members.add(name + descriptor);
                return null;
            }
        }, ClassReader.SKIP_CODE | ClassReader.SKIP_DEBUG);
        return new Shape(heads[0], heads[1], interfaces, members);
    }
}
