//= header

import io.ktor.client.HttpClient
import io.ktor.client.HttpClientConfig
import io.ktor.client.engine.okhttp.OkHttp
import io.ktor.client.engine.okhttp.OkHttpConfig
import java.net.ProtocolException
import okhttp3.CertificatePinner
import okhttp3.Interceptor

private val pinner: CertificatePinner = CertificatePinner.Builder()
    //= calls
    .build()

/** OkHttp itself accepts hosts without pins, also in redirects. */
private val onlyPinned = Interceptor { chain ->
    val address = chain.request().url
    if (!address.isHttps || pinner.findMatchingPins(address.host).isEmpty()) {
        throw ProtocolException(address.host + " is not pinned")
    }
    chain.proceed(chain.request())
}

/**
 * Returns a Ktor client that connects only to hosts with pins, and only over TLS, for WebSockets
 * too. `configure` is that of `HttpClient`; its `engine` settings are kept, except for a pinner or
 * a `webSocketFactory` of its own. Redirects are followed by Ktor, not by OkHttp.
 */
fun pinnedHttpClient(configure: HttpClientConfig<OkHttpConfig>.() -> Unit = {}): HttpClient =
    HttpClient(OkHttp) {
        configure()
        engine {
            webSocketFactory = null // it would be a client without pins
            config {
                certificatePinner(pinner)
                followRedirects(false)
                followSslRedirects(false)
                addInterceptor(onlyPinned) // OkHttp runs no network interceptors for WebSockets
                addNetworkInterceptor(onlyPinned) // and only these for what an Authenticator asks
            }
        }
    }
