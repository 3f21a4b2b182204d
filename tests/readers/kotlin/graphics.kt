// Stand-ins for android.graphics. Rows are longer than their pixels, which Android allows.
package android.graphics

import java.nio.Buffer
import java.nio.ByteBuffer
import javax.imageio.ImageIO

class Bitmap(
    val width: Int,
    val height: Int,
    val config: Config?,
    val isPremultiplied: Boolean,
    private val argb: IntArray,
) {
    enum class Config { ARGB_8888, RGB_565 }

    val rowBytes: Int = 4 * width + 8

    fun copyPixelsToBuffer(dst: Buffer) {
        check(config == Config.ARGB_8888) { "other kinds have other bytes" }
        val out = dst as ByteBuffer
        for (row in 0 until height) {
            for (column in 0 until width) {
                val color = argb[width * row + column]
                for (shift in intArrayOf(16, 8, 0, 24)) out.put((color shr shift).toByte())
            }
            out.put(ByteArray(rowBytes - 4 * width) { 99 })
        }
    }

    fun copy(config: Config, isMutable: Boolean): Bitmap? =
        Bitmap(width, height, config, isPremultiplied, argb)

    fun recycle() {}

    companion object {
        @JvmStatic
        fun createBitmap(colors: IntArray, width: Int, height: Int, config: Config): Bitmap =
            Bitmap(width, height, config, true, colors)
    }
}

object BitmapFactory {
    class Options {
        var inJustDecodeBounds = false
        var inSampleSize = 0
        var inPremultiplied = true
        var outWidth = -1
        var outHeight = -1
        var outMimeType: String? = null
    }

    /** PNG only, which is the same everywhere. */
    @JvmStatic
    fun decodeByteArray(data: ByteArray, offset: Int, length: Int, opts: Options): Bitmap? {
        val image = ImageIO.read(data.inputStream(offset, length)) ?: return null
        opts.outWidth = image.width
        opts.outHeight = image.height
        opts.outMimeType = "image/png"
        if (opts.inJustDecodeBounds) return null
        check(opts.inSampleSize <= 1) { "only a JPEG may be decoded smaller" }
        check(!opts.inPremultiplied) { "colours would be lost" }
        val argb = IntArray(image.width * image.height)
        image.getRGB(0, 0, image.width, image.height, argb, 0, image.width)
        return Bitmap(image.width, image.height, Bitmap.Config.ARGB_8888, false, argb)
    }
}
