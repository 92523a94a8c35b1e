//= header

import io.ktor.client.HttpClient
import io.ktor.client.HttpClientConfig
import io.ktor.client.engine.okhttp.OkHttp
import io.ktor.client.engine.okhttp.OkHttpConfig
import java.net.ProtocolException
import okhttp3.CertificatePinner

private val pinner: CertificatePinner = CertificatePinner.Builder()
    //= calls
    .build()

/**
 * Returns a Ktor client that connects only to hosts with pins, and only over TLS. `configure` is
 * that of `HttpClient`; its `engine` settings are kept, except for its own pinner.
 */
fun pinnedHttpClient(configure: HttpClientConfig<OkHttpConfig>.() -> Unit = {}): HttpClient =
    HttpClient(OkHttp) {
        configure()
        engine {
            config {
                certificatePinner(pinner)
                // OkHttp itself accepts hosts without pins, also in redirects.
                addNetworkInterceptor { chain ->
                    val address = chain.request().url
                    if (!address.isHttps || pinner.findMatchingPins(address.host).isEmpty()) {
                        throw ProtocolException(address.host + " is not pinned")
                    }
                    chain.proceed(chain.request())
                }
            }
        }
    }
