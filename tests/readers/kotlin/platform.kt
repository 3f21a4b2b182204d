// Stand-ins for androidx.test's registry: the app's assets and the test's own.
package androidx.test.platform.app

import android.content.Context
import android.content.res.AssetManager
import java.io.File

class Instrumentation(val targetContext: Context, val context: Context)

object InstrumentationRegistry {
    private fun assets(name: String) = Context(AssetManager(File(System.getProperty(name))))

    @JvmStatic
    fun getInstrumentation(): Instrumentation = Instrumentation(assets("app"), assets("test"))
}
