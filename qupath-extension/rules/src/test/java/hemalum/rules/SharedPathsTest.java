package hemalum.rules;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.List;
import org.junit.jupiter.api.Test;

class SharedPathsTest {

    @Test
    void windowsTakesNoNoticeOfCase() {
        assertEquals("/data/slides/A.svs", SharedPaths.there("z:\\slides\\A.svs", List.of("/data/slides"), "Z:\\Slides=/data/slides"));
        assertEquals("/data/a.svs", SharedPaths.there("\\\\Server\\Share\\a.svs", List.of("/data/"), "//server/share=/data"));
        assertEquals("d:/slides/a.svs", SharedPaths.there("d:\\slides\\a.svs", List.of("D:\\Slides"), ""));
    }

    @Test
    void othersDo() {
        assertNull(SharedPaths.there("/home/Slides/a.svs", List.of("/data"), "/home/slides=/data"));
        assertEquals("/data/a.svs", SharedPaths.there("/home/slides/a.svs", List.of("/data"), " ;/x=/y;/home/slides/=/data"));
        assertNull(SharedPaths.there("/database/a.svs", List.of("/data"), null));
    }
}
