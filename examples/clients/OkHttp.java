// OkHttp with its CertificatePinner.
//
//   javac -cp okhttp.jar:okio.jar OkHttp.java
//   certpin prove -- java -cp okhttp.jar:okio.jar:. OkHttp {url}
//
// With "-", it takes "URL PROXY-PORT TRUSTSTORE PIN…" from each line of its input, and answers each
// with a line: the tests do not start a JVM for every case.
import java.io.*;
import java.net.*;
import java.security.KeyStore;
import java.util.*;
import javax.net.ssl.*;
import okhttp3.*;

class OkHttp {
  public static void main(String[] words) throws Exception {
    if (!words[0].equals("-")) {
      String[] pins = System.getenv("CERTPIN_LAB_PINS").split(" ");
      System.out.println(get(words[0], new OkHttpClient.Builder(), pins));
      System.exit(0);  // its pool of connections would keep it up for a while
    }
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
    for (String line; (line = input.readLine()) != null; System.out.flush()) {
      try {
        System.out.println("0 " + serve(line.split(" ")).trim());
      } catch (Exception exc) {
        System.out.println("1 " + exc.toString().replace('\n', ' '));
      }
    }
  }

  static String get(String url, OkHttpClient.Builder builder, String... pins) throws IOException {
    String host = HttpUrl.get(url).host();
    String pattern = host.contains(":") ? "[" + host + "]" : host;
    CertificatePinner pinner = new CertificatePinner.Builder().add(pattern, pins).build();
    OkHttpClient client = builder.certificatePinner(pinner).addNetworkInterceptor(chain -> {
      // CertificatePinner lets hosts without pins pass: an answer must not lead there.
      HttpUrl to = chain.request().url();
      if (!to.isHttps() || !to.host().equals(host)) {
        throw new ProtocolException(to + " is not pinned");  // other IOExceptions are retried
      }
      return chain.proceed(chain.request());
    }).build();
    try (Response response = client.newCall(new Request.Builder().url(url).build()).execute()) {
      return response.body().string();
    } finally {
      client.connectionPool().evictAll();
    }
  }

  static String serve(String[] words) throws Exception {
    KeyStore roots = KeyStore.getInstance("PKCS12");
    try (InputStream file = new FileInputStream(words[2])) {
      roots.load(file, "changeit".toCharArray());
    }
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(roots);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    X509TrustManager manager = (X509TrustManager) trust.getTrustManagers()[0];
    SocketAddress proxy = new InetSocketAddress("127.0.0.1", Integer.parseInt(words[1]));
    OkHttpClient.Builder builder = new OkHttpClient.Builder()
        .proxy(new Proxy(Proxy.Type.HTTP, proxy))
        .sslSocketFactory(context.getSocketFactory(), manager);
    return get(words[0], builder, Arrays.copyOfRange(words, 3, words.length));
  }
}
