"""Make `tests/data/qupath_project` with a real QuPath through paquo, from CC0 images.

    PAQUO_QUPATH_DIR=… python tests/projects/make_project.py FOLDER

FOLDER should be one whose path may be known to everybody, since QuPath writes it into the project; then move it to
tests/data.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from corrected import features

HERE = Path(__file__).parents[2]
SAMPLE, SLIDE = (
    HERE / "tests" / "data" / "nucls_sample",
    HERE / "server" / "hemalum" / "data" / "CMU-1-Small-Region.svs",
)


def main(folder: Path) -> None:
    from paquo.images import QuPathImageType
    from paquo.java import File, JClass, PathIO
    from paquo.projects import QuPathProject

    servers = "qupath.lib.images.servers."
    metadata, transform = JClass(servers + "ImageServerMetadata$Builder"), JClass(servers + "TransformedServerBuilder")
    rotation, region = JClass(servers + "RotatedImageServer$Rotation"), JClass("qupath.lib.regions.ImageRegion")
    images = folder.parent / "images"
    images.mkdir(parents=True)
    with QuPathProject(folder, mode="x") as project:
        for stem in ("nucls_train_1", "nucls_train_10"):
            shutil.copy(SAMPLE / "images" / f"{stem}.png", images)
            entry = project.add_image(images / f"{stem}.png", image_type=QuPathImageType.BRIGHTFIELD_H_E)
            data = entry._image_data
            data.updateServerMetadata(metadata(data.getServer().getMetadata()).pixelSizeMicrons(0.25, 0.25).build())
            labels = np.asarray(Image.open(SAMPLE / "labels" / f"{stem}.png")).astype(np.int32)
            objects = features(labels) if stem == "nucls_train_1" else features(labels)[:1]
            if stem == "nucls_train_10":
                objects[0]["properties"].pop("classification")
            path = images / "objects.geojson"
            path.write_text(json.dumps({"type": "FeatureCollection", "features": objects}))
            data.getHierarchy().insertPathObjects(PathIO.readObjects(File(str(path))))
            path.unlink()
            entry.metadata["patient"] = stem[-2:].strip("_")
            entry.java_object.saveImageData(data)
        shutil.copy(SLIDE, images)
        slide = project.add_image(images / SLIDE.name, image_type=QuPathImageType.BRIGHTFIELD_H_E)
        server = slide._image_data.getServer()
        for name, builder in {
            "turned": transform(server).rotate(rotation.ROTATE_90),
            "cropped": transform(server).crop(region.createInstance(100, 100, 800, 600, 0, 0)),
            "deconvolved": transform(server).deconvolveStains(slide._image_data.getColorDeconvolutionStains()),
        }.items():
            made = project.java_object.addImage(builder.build().getBuilder())
            made.setImageName(f"{SLIDE.name} ({name})")
        project.save()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
