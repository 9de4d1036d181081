/* Nuclei, a corrected region, saved, and the regions of the project in the folder named in `args`. */
import qupath.ext.hemalum.*
import qupath.lib.objects.PathObjects
import qupath.lib.roi.ROIs

def imageData = getCurrentImageData()
Hemalum.builder().server(System.getenv('HEMALUM_TEST_SERVER')).token(System.getenv('HEMALUM_TEST_TOKEN'))
        .model(System.getenv('HEMALUM_TEST_MODEL')).pixelSize(0.5).build().segmentImage(imageData)
def region = PathObjects.createAnnotationObject(ROIs.createRectangleROI(200, 200, 400, 400))
addObject(region)
Corrections.begin(imageData, region)
Corrections.done(imageData, region)
setPixelSizeMicrons(0.5, 0.5)
// no window: nothing is open that is not saved
getProjectEntry().saveImageData(imageData)
int regions = TrainingExport.export(getProject(), new File(args[0]).toPath(), new OpenImages(null, getProject())).regions
println 'RESULT ' + new com.google.gson.Gson().toJson([regions: regions, inside: region.nChildObjects()])
