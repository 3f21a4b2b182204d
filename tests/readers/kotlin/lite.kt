// A stand-in for org.tensorflow.lite.Interpreter, which LiteRT 2 has in its package, too.
package org.tensorflow.lite

import harness.Runner
import java.io.File
import java.nio.ByteBuffer

class Interpreter(byteBuffer: ByteBuffer, options: Options) : AutoCloseable {
    class Options {
        fun setNumThreads(numThreads: Int): Options = this
    }

    private val runner: Runner

    init {
        require(byteBuffer.isDirect) { "the model must be mapped or in a direct buffer" }
        val file = File.createTempFile("model", ".tflite")
        file.deleteOnExit()
        file.writeBytes(ByteArray(byteBuffer.remaining()).also { byteBuffer.get(it) })
        runner = Runner(file)
    }

    fun run(input: Any, output: Any) {
        val given = input as ByteBuffer
        require(given.isDirect && given.remaining() == given.capacity()) { "not rewound" }
        val (answer) = runner.run(ByteArray(given.remaining()).also { given.get(it) })
        (output as ByteBuffer).put(answer)
    }

    fun runSignature(inputs: Map<String, Any>, outputs: Map<String, Any>, signatureKey: String?) {
        (inputs.keys + outputs.keys).forEach { runner.called(it, signatureKey) }
        val given = inputs.toSortedMap().values.map { it as ByteBuffer }
        require(given.all { it.isDirect && it.remaining() == it.capacity() }) { "not rewound" }
        val bytes = given.map { one -> ByteArray(one.remaining()).also { one.duplicate().get(it) } }
        val found = runner.run(bytes.reduce(ByteArray::plus))
        val taken = outputs.toSortedMap().values.map { it as ByteBuffer }
        require(taken.size == found.size) { "${found.size} outputs, ${taken.size} are taken" }
        taken.zip(found).forEach { (output, answer) -> output.put(answer) }
    }

    override fun close() = runner.close()
}
