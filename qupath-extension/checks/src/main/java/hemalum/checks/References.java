package hemalum.checks;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.FieldVisitor;
import org.objectweb.asm.Handle;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/**
 * What the finished jar refers to outside itself, and whether a QuPath has it.
 * <p>
 * {@code java -cp … hemalum.checks.References JAR QUPATH…}: reports every class, method and field of QuPath, JavaFX and Groovy that the
 * jar needs and these folders or jars lack; exit code 1 if there is one.
 */
public final class References {

    private static final List<String> LOOKED_AT = List.of("qupath/", "javafx/", "groovy/", "org/codehaus/groovy/", "org/apache/groovy/",
            "org/controlsfx/", "org/locationtech/jts/", "org/slf4j/");

    private References() {}

    public static void main(String[] args) throws IOException {
        if (args.length < 2) {
            System.err.println("usage: References JAR QUPATH_FOLDER_OR_JAR…");
            System.exit(2);
        }
        List<Path> roots = Arrays.stream(args).skip(1).map(Path::of).toList();
        for (Path root : roots) {
            if (!Files.exists(root)) {
                System.err.println("There is no " + root + ".");
                System.exit(2);
            }
        }
        Map<String, Set<String>> needed = of(Path.of(args[0]));
        List<String> missing = missing(needed, new ClassFiles(roots));
        missing.forEach(System.out::println);
        System.out.printf("%d members of %d classes are referred to, %d are missing%n",
                needed.values().stream().mapToInt(Set::size).sum(), needed.size(), missing.size());
        System.exit(missing.isEmpty() ? 0 : 1);
    }

    /** Class → members ({@code name + descriptor}; fields with a space between) that the jar refers to. */
    static Map<String, Set<String>> of(Path jar) throws IOException {
        ClassFiles own = new ClassFiles(List.of(jar));
        Map<String, Set<String>> needed = new TreeMap<>();
        for (String name : own.names())
            new ClassReader(own.of(name)).accept(new Collector(own.names(), needed), ClassReader.SKIP_DEBUG);
        return needed;
    }

    /** Sentences about what is not there. */
    static List<String> missing(Map<String, Set<String>> needed, ClassFiles there) {
        List<String> missing = new ArrayList<>();
        needed.forEach((owner, members) -> {
            if (there.shape(owner) == null) {
                missing.add("no class " + owner.replace('/', '.'));
                return;
            }
            for (String member : members) {
                if (!there.has(owner, member))
                    missing.add("no member " + owner.replace('/', '.') + "." + member);
            }
        });
        return missing;
    }

    private static final class Collector extends ClassVisitor {
        private final Set<String> own;
        private final Map<String, Set<String>> needed;

        Collector(Set<String> own, Map<String, Set<String>> needed) {
            super(Opcodes.ASM9);
            this.own = own;
            this.needed = needed;
        }

        private void type(String name) {
            member(name, null);
        }

        private void type(Type type) {
            switch (type.getSort()) {
                case Type.ARRAY -> type(type.getElementType());
                case Type.OBJECT -> type(type.getInternalName());
                case Type.METHOD -> {
                    type(type.getReturnType());
                    for (Type argument : type.getArgumentTypes())
                        type(argument);
                }
                default -> { }
            }
        }

        private void member(String owner, String member) {
            if (owner == null)
                return;
            if (owner.startsWith("[")) {
                type(Type.getType(owner));
                return;
            }
            if (own.contains(owner) || LOOKED_AT.stream().noneMatch(owner::startsWith))
                return;
            Set<String> members = needed.computeIfAbsent(owner, key -> new TreeSet<>());
            if (member != null)
                members.add(member);
        }

        @Override
        public void visit(int version, int access, String name, String signature, String parent, String[] interfaces) {
            type(parent);
            for (String each : interfaces)
                type(each);
        }

        @Override
        public FieldVisitor visitField(int access, String name, String descriptor, String signature, Object value) {
            type(Type.getType(descriptor));
            return null;
        }

        @Override
        public MethodVisitor visitMethod(int access, String method, String descriptor, String signature, String[] exceptions) {
            type(Type.getMethodType(descriptor));
            return new MethodVisitor(Opcodes.ASM9) {
                @Override
                public void visitMethodInsn(int opcode, String owner, String name, String descriptor, boolean isInterface) {
                    member(owner, name + descriptor);
                    type(Type.getMethodType(descriptor));
                }

                @Override
                public void visitFieldInsn(int opcode, String owner, String name, String descriptor) {
                    member(owner, name + " " + descriptor);
                    type(Type.getType(descriptor));
                }

                @Override
                public void visitTypeInsn(int opcode, String type) {
                    type(type);
                }

                @Override
                public void visitLdcInsn(Object value) {
                    if (value instanceof Type type)
                        type(type);
                }

                @Override
                public void visitInvokeDynamicInsn(String name, String descriptor, Handle bootstrap, Object... arguments) {
                    member(bootstrap.getOwner(), bootstrap.getName() + bootstrap.getDesc());
                    type(Type.getMethodType(descriptor));
                    for (Object argument : arguments) {
                        if (argument instanceof Handle handle)
                            member(handle.getOwner(), handle.getName() + (handle.getDesc().startsWith("(") ? "" : " ") + handle.getDesc());
                        else if (argument instanceof Type type)
                            type(type);
                    }
                }
            };
        }
    }
}
