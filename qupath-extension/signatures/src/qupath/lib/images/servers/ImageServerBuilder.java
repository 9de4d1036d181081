package qupath.lib.images.servers;

/** Signatures only: what the extension calls. */
public interface ImageServerBuilder<T> {

    interface ServerBuilder<T> {
    }

    class DefaultImageServerBuilder<T> implements ServerBuilder<T> {
        public String[] getArgs() {
            throw new UnsupportedOperationException();
        }

        protected DefaultImageServerBuilder() {}
    }
}
