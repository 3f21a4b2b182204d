// Runs a drop's Kotlin on a PC: jobs on standard input, one a line, as a drop's
// own file of jobs/ has them; see kotlin_app.py.
package harness

import androidx.test.platform.app.InstrumentationRegistry
import java.io.DataInputStream
import java.io.File
import org.junit.Test

/** The model in an interpreter of Python's: raw bytes to it, raw bytes from it. */
class Runner(private val model: File) : AutoCloseable {
    private val python = System.getProperty("python").split("|")
    private val process = ProcessBuilder(python + model.path)
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start()
    private val answers = DataInputStream(process.inputStream)

    /** Of several inputs, one behind the other in the order of their names; outputs likewise. */
    fun run(given: ByteArray): List<ByteArray> {
        process.outputStream.write(given)
        process.outputStream.flush()
        return List(answers.readInt()) {
            ByteArray(answers.readInt()).also { answers.readFully(it) }
        }
    }

    /** Refuses names of tensors and of a signature that are not in the file. */
    fun called(tensor: String, signature: String?) {
        val content = model.readText(Charsets.ISO_8859_1)
        for (name in listOf(tensor, requireNotNull(signature))) {
            require("\u0000$name\u0000" in content) { "the model has nothing called $name" }
        }
    }

    override fun close() {
        process.outputStream.close()
        process.waitFor()
    }
}

/** Runs a test of a class by name. */
internal fun passed(tests: Any, name: String): String {
    val test = tests.javaClass.getMethod(name)
    check(test.isAnnotationPresent(Test::class.java)) { "$name is no test" }
    test.invoke(tests)
    return "passed"
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
