// A stand-in for android.media.ExifInterface: the next picture's orientation is set from outside.
package android.media

import java.io.IOException
import java.io.InputStream

class ExifInterface(inputStream: InputStream) {
    init {
        if (inputStream.read() < 0 || next < 0) throw IOException("no EXIF")
    }

    fun getAttributeInt(tag: String, defaultValue: Int): Int =
        if (tag == TAG_ORIENTATION && next > 0) next else defaultValue

    companion object {
        const val TAG_ORIENTATION = "Orientation"
        const val ORIENTATION_NORMAL = 1
        const val ORIENTATION_ROTATE_180 = 3
        const val ORIENTATION_ROTATE_90 = 6
        const val ORIENTATION_ROTATE_270 = 8

        var next = 0
    }
}
