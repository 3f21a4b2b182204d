// Stand-ins for android.content.res: assets are files in a folder.
package android.content.res

import java.io.File
import java.io.FileDescriptor
import java.io.FileInputStream
import java.io.InputStream

class AssetManager(val folder: File) {
    fun open(fileName: String): InputStream = File(folder, fileName).inputStream()

    fun openFd(fileName: String): AssetFileDescriptor {
        val file = File(folder, fileName)
        return AssetFileDescriptor(FileInputStream(file), file.length())
    }
}

class AssetFileDescriptor(private val stream: FileInputStream, val declaredLength: Long) :
    AutoCloseable {
    val startOffset: Long = 0
    val fileDescriptor: FileDescriptor = stream.fd

    override fun close() = stream.close()
}
