// What the harness does with an image classifier's drop.
package harness

import android.content.Context
import android.graphics.Bitmap
import android.media.ExifInterface
import java.io.File
import org.example.classifier.Classifier
import org.example.classifier.CompiledEngine
import org.example.classifier.Engine
import org.example.classifier.Fit
import org.example.classifier.GoldenRule
import org.example.classifier.GoldenTest
import org.example.classifier.InterpreterEngine
import org.example.classifier.Model
import org.example.classifier.Photo
import org.example.classifier.Pixels

private fun engine(name: String, app: Context): Engine = when (name) {
    "compiled" -> CompiledEngine(app)
    else -> InterpreterEngine(app)
}

/** RGBA bytes as a bitmap. */
private fun bitmap(file: File, width: Int, height: Int, config: Bitmap.Config, plain: Boolean): Bitmap {
    val rgba = file.readBytes()
    val colors = IntArray(width * height) {
        val (red, green, blue, alpha) = List(4) { i -> rgba[4 * it + i].toInt() and 0xFF }
        (alpha shl 24) or (red shl 16) or (green shl 8) or blue
    }
    return Bitmap(width, height, config, !plain, colors)
}

internal fun job(words: List<String>, app: Context): String = when (words[0]) {
    // square FILE WIDTH HEIGHT ORIENTATION SIZE FIT KIND: the model's pixels into FILE.out
    "square" -> {
        val (width, height, orientation, size) = words.subList(2, 6).map { it.toInt() }
        val config = if (words[7] == "other") Bitmap.Config.RGB_565 else Bitmap.Config.ARGB_8888
        val plain = words[7] != "premultiplied"
        val picture = Photo.read(bitmap(File(words[1]), width, height, config, plain), orientation)
        File(words[1] + ".out").writeBytes(Pixels.square(picture, size, Fit.valueOf(words[6])))
        ""
    }
    // sample WIDTH HEIGHT SIZE
    "sample" -> words.drop(1).map { it.toInt() }.let { (w, h, s) -> "${Photo.sampleSize(w, h, s)}" }
    // classify ENGINE PNG ORIENTATION TOP
    "classify" -> Classifier(Classifier.labels(app), engine(words[1], app)).use { classifier ->
        ExifInterface.next = words[3].toInt()
        classifier.classify(File(words[2]).readBytes(), words[4].toInt()).joinToString(";") {
            "${it.index},${it.label},${it.score}"
        }
    }
    // golden TEST: a test of GoldenTest by name
    "golden" -> passed(GoldenTest(), words[1])
    // file FILE ORIENTATION SIZE FIT [BLACK WHITE]: the model's pixels of an image into FILE.out
    "file" -> {
        ExifInterface.next = words[2].toInt()
        val levels = words.drop(5).map { it.toInt() }.toIntArray().takeIf { it.isNotEmpty() }
        val image = Photo.read(File(words[1]).readBytes(), words[3].toInt(), levels)
        val pixels = Pixels.square(image, words[3].toInt(), Fit.valueOf(words[4]))
        File(words[1] + ".out").writeBytes(pixels)
        ""
    }
    // rule EXPECTED GOT: scores with commas between them
    "rule" -> {
        val (expected, got) = words.subList(1, 3).map { scores ->
            scores.split(",").map { it.toFloat() }.toFloatArray()
        }
        GoldenRule.difference(expected, got)
    }
    // pixels COUNT: as many bytes to the model
    "pixels" -> CompiledEngine(app).use { "${it.run(ByteArray(words[1].toInt())).size}" }
    else -> "rotation ${Classifier.orientation(words[1].toInt())}, ${Model.SIZE}"
}
