package hemalum.rules;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** The names that the code uses are those that {@code tests/cases/measurements.csv} defines. */
class MeasurementsTest {

    private static final Path TABLE = Path.of(System.getProperty("hemalum.cases"), "measurements.csv");

    private record Row(String name, String unit, String of, String whose, String stain, String writes, String before, String definition) {
        static Row of(String line) {
            String[] cells = line.split(",", 8);
            return new Row(cells[0], cells[1], cells[2], cells[3], cells[4], cells[5], cells[6], cells[7]);
        }
    }

    private static List<Row> rows() throws Exception {
        List<String> lines = Files.readAllLines(TABLE);
        assertEquals("name,unit,of,whose,stain,writes,before,definition", lines.get(0));
        return lines.stream().skip(1).map(Row::of).toList();
    }

    @Test
    void ownNamesSayThatTheyAreOurs() throws Exception {
        for (Row row : rows())
            assertEquals(row.whose.equals("Hemalum"), row.name.startsWith(Measurements.OWN), row.name);
    }

    @Test
    void whatTheServerSendsIsNamedByTheTable() throws Exception {
        Set<String> sent = new LinkedHashSet<>();
        for (Row row : rows()) {
            if (!row.writes.equals("every client"))
                continue;
            sent.add(row.name);
            assertEquals(row.name, Measurements.named(row.name));
            for (String before : row.before.split(";")) {
                if (!before.isBlank())
                    assertEquals(row.name, Measurements.named(before));
            }
        }
        assertTrue(sent.containsAll(Measurements.SHAPES) && sent.containsAll(Measurements.BEFORE.values()), sent.toString());
    }

    @Test
    void aNameThatNobodyKnowsIsNeverTakenForQuPaths() {
        assertEquals("Hemalum: Nucleus: Hematoxylin: Mean", Measurements.named("Nucleus: Hematoxylin: Mean"));
    }

    @Test
    void onlyTheImagesOwnVectorsMakeQuPathsStainNames() throws Exception {
        for (Row row : rows()) {
            if (row.whose.equals("QuPath") && !row.stain.equals("none"))
                assertEquals("image", row.stain, row.name);
        }
    }
}
