// Clients of what is exported for Java, in one JVM: starting one takes longer than a hundred calls.
//
// Each line of the input is "CLIENT URL PROXY-PORT TRUSTSTORE FILE", and is answered with a line.
import java.io.*;
import java.lang.reflect.Method;
import java.net.*;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.*;
import javax.net.ssl.*;
import javax.tools.ToolProvider;
import okhttp3.*;

class Proof {
  static final Map<String, CertificatePinner> PINNERS = new HashMap<>();
  static final Map<String, KeyStore> STORES = new HashMap<>();

  public static void main(String[] none) throws Exception {
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
    for (String line; (line = input.readLine()) != null; System.out.flush()) {
      String[] words = line.split(" ");
      int port = Integer.parseInt(words[2]);
      try {
        String answer = words[0].equals("HttpClient")
            ? platform(words[1], port, words[4])
            : okhttp(words[1], port, words[3], pinner(words[0], words[4]));
        System.out.println("0 " + answer.replace('\n', ' '));
      } catch (Exception exc) {
        System.out.println("1 " + exc.toString().replace('\n', ' '));
      }
    }
  }

  static CertificatePinner pinner(String client, String file) throws Exception {
    if (!PINNERS.containsKey(file)) {
      PINNERS.put(file, client.equals("okhttp-java")
          ? called(compiled(Paths.get(file)), "CertpinPinner", "create")
          : called(Paths.get(file), "CertpinPinnerKt", "getCertpinPinner"));
    }
    return PINNERS.get(file);
  }

  static Path compiled(Path source) {
    String folder = source.getParent().toString();
    String classpath = System.getProperty("java.class.path");
    int status = ToolProvider.getSystemJavaCompiler().run(
        null, null, System.err, "-d", folder, "-cp", classpath, source.toString());
    if (status != 0) {
      throw new IllegalStateException("it does not compile: " + source);
    }
    return source.getParent();
  }

  static CertificatePinner called(Path folder, String type, String function) throws Exception {
    URLClassLoader loader = new URLClassLoader(new URL[] {folder.toUri().toURL()});
    Method method = loader.loadClass(type).getDeclaredMethod(function);
    method.setAccessible(true);
    return (CertificatePinner) method.invoke(null);
  }

  static String okhttp(String url, int port, String store, CertificatePinner pinner)
      throws Exception {
    TrustManagerFactory trust = managers(roots(store));
    String host = HttpUrl.get(url).host();
    OkHttpClient client = new OkHttpClient.Builder()
        .proxy(new Proxy(Proxy.Type.HTTP, new InetSocketAddress("127.0.0.1", port)))
        .sslSocketFactory(
            context(trust).getSocketFactory(), (X509TrustManager) trust.getTrustManagers()[0])
        .certificatePinner(pinner)
        .addNetworkInterceptor(chain -> {
          // The documentation says to refuse redirects to hosts without pins, and to http://.
          HttpUrl to = chain.request().url();
          if (!to.isHttps() || !to.host().equals(host)) {
            throw new ProtocolException(to + " is not pinned");
          }
          return chain.proceed(chain.request());
        }).build();
    try (Response response = client.newCall(new Request.Builder().url(url).build()).execute()) {
      return response.body().string();
    } finally {
      client.connectionPool().evictAll();
    }
  }

  // To read a store takes longer than a call: its key is derived from a password.
  static KeyStore roots(String store) throws Exception {
    String version = store + " " + Files.getLastModifiedTime(Paths.get(store));
    if (!STORES.containsKey(version)) {
      KeyStore roots = KeyStore.getInstance("PKCS12");
      try (InputStream file = new FileInputStream(store)) {
        roots.load(file, "changeit".toCharArray());
      }
      STORES.put(version, roots);
    }
    return STORES.get(version);
  }

  // Java's own client has no pins: its trust anchors are those of the file.
  static String platform(String url, int port, String file) throws Exception {
    KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
    roots.load(null, null);
    try (InputStream pem = new FileInputStream(file)) {
      for (Certificate each : CertificateFactory.getInstance("X.509").generateCertificates(pem)) {
        roots.setCertificateEntry("anchor-" + roots.size(), each);
      }
    }
    HttpClient client = HttpClient.newBuilder()
        .sslContext(context(managers(roots)))
        .proxy(ProxySelector.of(new InetSocketAddress("127.0.0.1", port)))
        .version(HttpClient.Version.HTTP_1_1)  // an early GOAWAY would be an error after the answer
        .connectTimeout(Duration.ofSeconds(15))
        .build();
    HttpRequest request = HttpRequest.newBuilder(URI.create(url)).build();
    return client.send(request, HttpResponse.BodyHandlers.ofString()).body();
  }

  static TrustManagerFactory managers(KeyStore roots) throws Exception {
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(roots);
    return trust;
  }

  static SSLContext context(TrustManagerFactory trust) throws Exception {
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    return context;
  }
}
