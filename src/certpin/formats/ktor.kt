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
 * A client of Ktor that calls hosts with pins, over TLS alone. `configure` is that of `HttpClient`;
 * an `engine` in it is kept, without a pinner of its own.
 */
fun pinnedHttpClient(configure: HttpClientConfig<OkHttpConfig>.() -> Unit = {}): HttpClient =
    HttpClient(OkHttp) {
        configure()
        engine {
            config {
                certificatePinner(pinner)
                // OkHttp lets hosts without pins pass, and so would a redirect.
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
