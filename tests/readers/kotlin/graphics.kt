// Stand-ins for android.graphics. Rows are longer than their pixels, which Android allows.
package android.graphics

import java.io.DataInputStream
import java.io.DataOutputStream
import java.nio.Buffer
import java.nio.ByteBuffer

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

    /** A decoder behind pipes: decode_image.py says how they talk. */
    private val decoder by lazy {
        ProcessBuilder(System.getProperty("decoder").split("|"))
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start()
    }
    private val asked by lazy { DataOutputStream(decoder.outputStream) }
    private val answers by lazy { DataInputStream(decoder.inputStream) }

    @JvmStatic
    fun decodeByteArray(data: ByteArray, offset: Int, length: Int, opts: Options): Bitmap? {
        val sample = if (opts.inJustDecodeBounds) 1 else maxOf(1, opts.inSampleSize)
        asked.writeInt(sample)
        asked.writeInt(length)
        asked.write(data, offset, length)
        asked.flush()
        val mime = answers.readUTF()
        if (mime.isEmpty()) return null
        val width = answers.readInt()
        val height = answers.readInt()
        val rgba = ByteArray(4 * width * height).also { answers.readFully(it) }
        opts.outWidth = width
        opts.outHeight = height
        opts.outMimeType = mime
        if (opts.inJustDecodeBounds) return null
        check(sample == 1 || mime == "image/jpeg") { "only a JPEG may be decoded smaller" }
        check(!opts.inPremultiplied) { "colours would be lost" }
        val argb = IntArray(width * height) {
            val (red, green, blue, alpha) = List(4) { i -> rgba[4 * it + i].toInt() and 0xFF }
            (alpha shl 24) or (red shl 16) or (green shl 8) or blue
        }
        return Bitmap(width, height, Bitmap.Config.ARGB_8888, false, argb)
    }
}
