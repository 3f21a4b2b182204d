// Stand-ins for what the Android drop uses of android.content, written after the API's reference.
package android.content

import android.content.res.AssetManager

open class Context(val assets: AssetManager)
