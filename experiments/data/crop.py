"""ADM's centre crop, pixel for pixel: what every published ImageNet reference was cut with.

Reading files and turning pixels into numbers is `image_folder`.
"""

from PIL import Image


def center_crop(image: Image.Image, size: int) -> Image.Image:
    """The centre square of an image, shrunk or enlarged to size × size pixels.

    Halves with a box filter while the short side is at least twice `size`, then resizes bicubically until the short
    side is `size`, then cuts. The result may differ by one grey level between versions of Pillow. Source: Dhariwal and
    Nichol 2021, the preprocessing of their ImageNet statistics.
    """
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    factor = size / min(image.size)
    image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))
