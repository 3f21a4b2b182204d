// Stand-ins for com.google.ai.edge.litert 2.x, written after its Kotlin reference. The model runs in
// a LiteRT of Python's, through pipes.
package com.google.ai.edge.litert

import android.content.res.AssetManager
import harness.Runner
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

enum class Accelerator { NONE, CPU, GPU, NPU }

class LiteRtException(message: String) : Exception(message)

class Environment

class TensorBuffer internal constructor() : AutoCloseable {
    internal var bytes = ByteArray(0)

    @Throws(LiteRtException::class)
    fun writeInt8(data: ByteArray) {
        bytes = data.copyOf()
    }

    @Throws(LiteRtException::class)
    fun writeInt(data: IntArray) {
        val out = ByteBuffer.allocate(4 * data.size).order(ByteOrder.nativeOrder())
        out.asIntBuffer().put(data)
        bytes = out.array()
    }

    @Throws(LiteRtException::class)
    fun readInt8(): ByteArray = bytes.copyOf()

    @Throws(LiteRtException::class)
    fun readFloat(): FloatArray {
        val floats = ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder()).asFloatBuffer()
        return FloatArray(floats.remaining()).also { floats.get(it) }
    }

    override fun close() {}
}

class CompiledModel private constructor(private val runner: Runner) : AutoCloseable {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    class Options(internal val accelerators: Set<Accelerator>) {
        constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))

        var cpuOptions: CpuOptions? = null

        companion object {
            @JvmStatic val CPU = Options(Accelerator.CPU)
        }
    }

    @Throws(LiteRtException::class)
    @JvmOverloads
    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = listOf(TensorBuffer())

    @Throws(LiteRtException::class)
    @JvmOverloads
    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = listOf(TensorBuffer())

    @Throws(LiteRtException::class)
    @JvmOverloads
    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0) {
        outputs[0].bytes = runner.run(inputs[0].bytes).single()
    }

    @Throws(LiteRtException::class)
    fun createInputBuffer(inputName: String, signature: String? = null): TensorBuffer =
        TensorBuffer().also { runner.called(inputName, signature) }

    @Throws(LiteRtException::class)
    fun createOutputBuffer(outputName: String, signature: String? = null): TensorBuffer =
        TensorBuffer().also { runner.called(outputName, signature) }

    @Throws(LiteRtException::class)
    fun run(
        inputs: Map<String, TensorBuffer>,
        outputs: Map<String, TensorBuffer>,
        signature: String? = null,
    ) {
        (inputs.keys + outputs.keys).forEach { runner.called(it, signature) }
        val given = inputs.toSortedMap().values.map { it.bytes }
        val found = runner.run(given.reduce(ByteArray::plus))
        require(outputs.size == found.size) { "${found.size} outputs, ${outputs.size} are taken" }
        outputs.toSortedMap().values.zip(found).forEach { (output, answer) -> output.bytes = answer }
    }

    override fun close() = runner.close()

    companion object {
        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options = Options.CPU,
            optionalEnv: Environment? = null,
        ): CompiledModel = CompiledModel(Runner(File(assetManager.folder, assetName)))
    }
}
