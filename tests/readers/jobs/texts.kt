// What the harness does with a text classifier's drop.
package harness

import android.content.Context
import java.io.File
import java.util.Locale
import org.example.classifier.CompiledEngine
import org.example.classifier.Encoded
import org.example.classifier.Engine
import org.example.classifier.GoldenTest
import org.example.classifier.InterpreterEngine
import org.example.classifier.Model
import org.example.classifier.TextClassifier
import org.example.classifier.WordPiece

private fun engine(name: String, app: Context): Engine = when (name) {
    "compiled" -> CompiledEngine(app)
    else -> InterpreterEngine(app)
}

/** Between the texts of a file. */
private const val SEPARATOR = "\n\u0001\n"

private fun texts(file: String): List<String> = File(file).readText().split(SEPARATOR)

private fun written(file: String, lines: List<String>): String {
    File("$file.out").writeText(lines.joinToString(SEPARATOR))
    return "${lines.size}"
}

internal fun job(words: List<String>, app: Context): String = when (words[0]) {
    // ids VOCABULARY LOWER LENGTH TEXTS LOCALE: of each text its ids without padding, into TEXTS.out
    "ids" -> {
        Locale.setDefault(Locale.forLanguageTag(words[5]))
        val tokenizer = WordPiece(WordPiece.read(File(words[1]).readText()), words[2].toBoolean())
        val found = texts(words[4]).map { tokenizer.encode(it, words[3].toInt()) }
        check(found.all { it.mask.sorted().reversed() == it.mask.toList() }) { "a mask with gaps" }
        check(found.all { it.ids.size == words[3].toInt() && it.mask.size == it.ids.size })
        written(words[4], found.map { one -> one.ids.take(one.mask.sum()).joinToString(" ") })
    }
    // words LOWER TEXTS LOCALE: of each text its words, into TEXTS.out
    "words" -> {
        Locale.setDefault(Locale.forLanguageTag(words[3]))
        val tokenizer = WordPiece(listOf("[PAD]", "[UNK]", "[CLS]", "[SEP]"), words[1].toBoolean())
        written(words[2], texts(words[2]).map { tokenizer.words(it).joinToString(" ") })
    }
    // classify ENGINE TOP TEXTS
    "classify" -> {
        val tokenizer = TextClassifier.tokenizer(app)
        TextClassifier(TextClassifier.labels(app), tokenizer, engine(words[1], app)).use {
            texts(words[3]).joinToString("|") { text ->
                it.classify(text, words[2].toInt()).joinToString(";") { answer ->
                    "${answer.index},${answer.label},${answer.score}"
                }
            }
        }
    }
    // golden TEST: a test of GoldenTest by name
    "golden" -> passed(GoldenTest(), words[1])
    // length COUNT: as many ids to the model
    "length" -> {
        val count = words[1].toInt()
        CompiledEngine(app).use { "${it.run(Encoded(IntArray(count), IntArray(count))).size}" }
    }
    else -> "${Model.LENGTH}"
}
