// Runs a drop's Kotlin on a PC: jobs on standard input, one a line; see test_android_kotlin.py.
package harness

import android.content.Context
import android.graphics.Bitmap
import android.media.ExifInterface
import androidx.test.platform.app.InstrumentationRegistry
import java.io.DataInputStream
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
import org.junit.Test

/** The model in an interpreter of Python's: raw bytes to it, raw bytes from it. */
class Runner(model: File) : AutoCloseable {
    private val python = System.getProperty("python").split("|")
    private val process = ProcessBuilder(python + model.path)
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start()
    private val answers = DataInputStream(process.inputStream)

    fun run(pixels: ByteArray): ByteArray {
        process.outputStream.write(pixels)
        process.outputStream.flush()
        return ByteArray(answers.readInt()).also { answers.readFully(it) }
    }

    override fun close() {
        process.outputStream.close()
        process.waitFor()
    }
}

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

private fun job(words: List<String>, app: Context): String = when (words[0]) {
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
    "golden" -> {
        val test = GoldenTest::class.java.getMethod(words[1])
        check(test.isAnnotationPresent(Test::class.java)) { "${words[1]} is no test" }
        test.invoke(GoldenTest())
        "passed"
    }
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

/** The first line of what went wrong, below reflection's wrapping. */
private fun said(error: Throwable): String {
    val cause = generateSequence(error) { it.cause }.last()
    return "${cause.javaClass.simpleName}: ${cause.message.orEmpty().lines().first()}"
}

fun main() {
    val app = InstrumentationRegistry.getInstrumentation().targetContext
    for (line in generateSequence(::readlnOrNull)) {
        val answer = runCatching { job(line.split(" "), app) }.getOrElse { "failed: ${said(it)}" }
        println("> $answer")
    }
}
