/* Makes a project of the images named in `args` (the first is the project's folder), each set to H&E. */
import java.awt.image.BufferedImage
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServerProvider
import qupath.lib.projects.Projects

new File(args[0]).mkdirs()
def project = Projects.createProject(new File(args[0]), BufferedImage)
args.drop(1).each { path ->
    def builder = ImageServerProvider.getPreferredUriImageSupport(BufferedImage, path).builders[0]
    def entry = project.addImage(builder)
    def data = entry.readImageData()
    data.imageType = ImageData.ImageType.BRIGHTFIELD_H_E
    entry.imageName = new File(path).name
    entry.thumbnail = data.server.getDefaultThumbnail(0, 0)
    entry.saveImageData(data)
    data.close()
}
project.syncChanges()
println 'RESULT ' + new com.google.gson.Gson().toJson([images: project.imageList.size()])
