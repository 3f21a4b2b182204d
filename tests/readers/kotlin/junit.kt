// Stand-ins for JUnit 4.
package org.junit

annotation class Test

object Assert {
    @JvmStatic
    fun assertTrue(message: String, condition: Boolean) {
        if (!condition) throw AssertionError(message)
    }

    @JvmStatic
    fun assertEquals(expected: Int, actual: Int) = assertEquals("", expected, actual)

    @JvmStatic
    fun assertEquals(message: String, expected: Int, actual: Int) =
        assertTrue("$message: expected $expected, got $actual", expected == actual)

    @JvmStatic
    fun assertArrayEquals(message: String, expecteds: IntArray, actuals: IntArray) =
        assertTrue("$message: arrays differ", expecteds.contentEquals(actuals))

    @JvmStatic
    fun assertArrayEquals(message: String, expecteds: ByteArray, actuals: ByteArray) =
        assertTrue("$message: arrays differ", expecteds.contentEquals(actuals))

    @JvmStatic
    fun assertArrayEquals(
        message: String,
        expecteds: FloatArray,
        actuals: FloatArray,
        delta: Float,
    ) {
        assertEquals("$message: lengths", expecteds.size, actuals.size)
        val same = expecteds.indices.all { kotlin.math.abs(expecteds[it] - actuals[it]) <= delta }
        assertTrue("$message: arrays differ", same)
    }
}
