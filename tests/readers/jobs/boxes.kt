// What the harness does with a detector's drop.
package harness

import android.content.Context
import android.media.ExifInterface
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.example.classifier.Boxes
import org.example.classifier.CompiledEngine
import org.example.classifier.Detection
import org.example.classifier.Detector
import org.example.classifier.Engine
import org.example.classifier.GoldenRule
import org.example.classifier.GoldenTest
import org.example.classifier.InterpreterEngine
import org.example.classifier.Outputs

private fun engine(name: String, app: Context): Engine = when (name) {
    "compiled" -> CompiledEngine(app)
    else -> InterpreterEngine(app)
}

private fun told(found: List<Detection>): String = found.joinToString(";") {
    "${it.index},${it.label},${it.score},${it.box.left},${it.box.top},${it.box.right},${it.box.bottom}"
}

private fun floats(file: String): FloatArray {
    val numbers = ByteBuffer.wrap(File(file).readBytes()).order(ByteOrder.LITTLE_ENDIAN)
    return FloatArray(numbers.capacity() / 4) { numbers.getFloat(4 * it) }
}

internal fun job(words: List<String>, app: Context): String = when (words[0]) {
    // detect ENGINE FILE ORIENTATION [LEAST]
    "detect" -> Detector(Boxes.read(app), engine(words[1], app)).use { detector ->
        ExifInterface.next = words[3].toInt()
        told(detector.detect(File(words[2]).readBytes(), words.getOrNull(4)?.toFloat()))
    }
    // boxes BOXES SCORES [LEAST]: of outputs as they are stored, in files
    "boxes" -> {
        val outputs = Outputs(File(words[1]).readBytes(), File(words[2]).readBytes())
        told(Boxes.read(app).of(outputs, words.getOrNull(3)?.toFloat()))
    }
    // pixels on WIDTH HEIGHT: of what is found best in FILE
    "on" -> Detector(app).use { detector ->
        val best = detector.detect(File(words[3]).readBytes(), 0.1f).first()
        val box = best.box.on(words[1].toInt(), words[2].toInt())
        "${box.left},${box.top},${box.right},${box.bottom}"
    }
    // golden TEST: a test of GoldenTest by name
    "golden" -> passed(GoldenTest(), words[1])
    // rule EXPECTED GOT: files of float32
    "rule" -> GoldenRule.difference(floats(words[1]), floats(words[2]))
    // pixels COUNT: as many bytes to the model
    "pixels" -> CompiledEngine(app).use { "${it.run(ByteArray(words[1].toInt())).boxes.size}" }
    // assets: what Boxes says of those that do not fit
    "assets" -> { Boxes.read(app); "read" }
    else -> "rotation ${Detector.orientation(words[1].toInt())}"
}
