//= header
#nullable enable
using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Threading;
using System.Threading.Tasks;

namespace Certpin;

/// <summary>The reason why a connection was refused, or would have been in enforce mode.</summary>
public sealed class PinException(string reason, string host, string? pattern) : Exception($"{host}: {reason}")
{
    /// <summary>mismatch, compromised-key, expired, unpinned, or insecure.</summary>
    public string Reason { get; } = reason;

    /// <summary>The host of the request.</summary>
    public string Host { get; } = host;

    /// <summary>The policy; null if the host has none.</summary>
    public string? Policy { get; } = pattern;

    /// <summary>The pins of the presented keys, leaf first.</summary>
    public IReadOnlyList<string> Chain { get; init; } = [];

    /// <summary>Whether the connection was refused.</summary>
    public bool Enforced { get; init; } = true;
}

/// <summary>
/// Sends requests only to hosts with pins, and only over TLS: <c>new HttpClient(new PinnedHandler())</c>.
/// .NET verifies chain, name and dates first. The pins are then compared with the verified chain, before
/// anything is sent. Redirects are returned as responses; following one is a new, checked request.
/// </summary>
public sealed class PinnedHandler : HttpMessageHandler
{
    private static readonly Policy[] Policies =
    [
        //= policies
    ];

    private const SslProtocols Protocols = SslProtocols.Tls12 | SslProtocols.Tls13;

    private readonly Dictionary<string, HttpMessageInvoker> _byHost = [];
    private readonly Action<SocketsHttpHandler>? _configure;

    /// <param name="configure">Configures other settings of the handler: proxies, timeouts, a client certificate.</param>
    public PinnedHandler(Action<SocketsHttpHandler>? configure = null) => _configure = configure;

    /// <summary>Raised for every failure, including those in report mode. Handlers must not block.</summary>
    public event Action<PinException>? Failed;

    /// <inheritdoc/>
    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        => InvokerOf(request).SendAsync(request, cancellationToken);

    /// <inheritdoc/>
    protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken)
        => InvokerOf(request).Send(request, cancellationToken);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        lock (_byHost)
        {
            foreach (HttpMessageInvoker invoker in _byHost.Values)
            {
                invoker.Dispose();
            }
            _byHost.Clear();
        }
        base.Dispose(disposing);
    }

    // One handler per host, so that pins and trust anchors of different hosts cannot be confused.
    private HttpMessageInvoker InvokerOf(HttpRequestMessage request)
    {
        Uri address = request.RequestUri ?? throw new InvalidOperationException("The request has no address.");
        string host = Normalise(address.IdnHost);
        if (address.Scheme != Uri.UriSchemeHttps || request.Headers.Host is not null)
        {
            // A Host header would change the verified name.
            throw Tell(new PinException("insecure", host, null));
        }
        Policy policy = Find(host) ?? throw Tell(new PinException("unpinned", host, null));
        lock (_byHost)
        {
            if (!_byHost.TryGetValue(host, out HttpMessageInvoker? invoker))
            {
                invoker = new HttpMessageInvoker(HandlerOf(host, policy));
                _byHost.Add(host, invoker);
            }
            return invoker;
        }
    }

    private SocketsHttpHandler HandlerOf(string host, Policy policy)
    {
        var handler = new SocketsHttpHandler();
        _configure?.Invoke(handler);
        handler.AllowAutoRedirect = false;
        handler.SslOptions.AllowTlsResume = false;
        SslProtocols configured = handler.SslOptions.EnabledSslProtocols & Protocols; // none: the system's choice
        handler.SslOptions.EnabledSslProtocols = configured == SslProtocols.None ? Protocols : configured;
        handler.SslOptions.CertificateChainPolicy = policy.Trust is null ? null : Anchors(policy.Trust);
        handler.SslOptions.RemoteCertificateValidationCallback =
            (_, _, chain, errors) => Verify(host, policy, chain, errors);
        return handler;
    }

    private bool Verify(string host, Policy policy, X509Chain? chain, SslPolicyErrors errors)
    {
        if (errors != SslPolicyErrors.None || chain is null || chain.ChainElements.Count == 0)
        {
            return false; // chain, name or dates: a pin never replaces them
        }
        X509Certificate2[] path = chain.ChainElements.Select(element => element.Certificate).ToArray();
        PinException? failure = Decide(host, policy, path, DateTimeOffset.UtcNow);
        return failure is null || !Tell(failure).Enforced;
    }

    private PinException Tell(PinException failure)
    {
        Failed?.Invoke(failure);
        return failure;
    }

    private static X509ChainPolicy Anchors(string pem)
    {
        var anchors = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
        };
        anchors.CustomTrustStore.ImportFromPem(pem);
        anchors.ApplicationPolicy.Add(new Oid("1.3.6.1.5.5.7.3.1")); // for servers
        return anchors;
    }

    // An exact name first, then "*.", then "**.", longest name first.
    private static Policy? Find(string host)
    {
        if (IPAddress.TryParse(host, out IPAddress? address))
        {
            // .NET writes some addresses in another form than pins.toml.
            return Policies.FirstOrDefault(
                each => IPAddress.TryParse(each.Pattern, out IPAddress? pinned) && pinned.Equals(address));
        }
        string parent = Above(host);
        var patterns = new List<string> { host, "**." + host, "*." + parent };
        for (; parent.Length > 0; parent = Above(parent))
        {
            patterns.Add("**." + parent);
        }
        return patterns
            .Select(pattern => Policies.FirstOrDefault(each => each.Pattern == pattern))
            .FirstOrDefault(policy => policy is not null);
    }

    // Returns the failure of a chain that .NET verified, or null.
    private static PinException? Decide(string host, Policy policy, X509Certificate2[] chain, DateTimeOffset now)
    {
        bool enforced = policy.Mode == "enforce";
        string reason = "mismatch";
        if (chain.Any(each => IsAmong(policy.Compromised, each)))
        {
            reason = "compromised-key"; // before expiry, and even if another pin matches
        }
        else if (policy.Expires is not null && now >= DateTimeOffset.Parse(policy.Expires, CultureInfo.InvariantCulture))
        {
            if (policy.OnExpiry == "fail-open")
            {
                return null;
            }
            if (policy.OnExpiry == "fail-closed")
            {
                reason = "expired";
            }
            else
            {
                enforced = false;
            }
        }
        if (reason == "mismatch" && Admitted(policy, chain).Any(each => IsAmong(policy.Pins, each)))
        {
            return null;
        }
        return new PinException(reason, host, policy.Pattern)
        {
            Chain = chain.Select(KeyPin).ToArray(),
            Enforced = enforced,
        };
    }

    private static IEnumerable<X509Certificate2> Admitted(Policy policy, X509Certificate2[] chain)
        => policy.Match switch
        {
            "leaf" => chain.Take(1),
            "ca" => chain.Skip(1),
            _ => chain,
        };

    private static bool IsAmong(string[] pins, X509Certificate2 certificate)
        => pins.Contains(KeyPin(certificate)) || pins.Contains(Fingerprint(certificate));

    private static string KeyPin(X509Certificate2 certificate)
        => "sha256/" + Convert.ToBase64String(SHA256.HashData(certificate.PublicKey.ExportSubjectPublicKeyInfo()));

    private static string Fingerprint(X509Certificate2 certificate)
        => "cert-sha256/" + BitConverter.ToString(SHA256.HashData(certificate.RawData)).Replace('-', ':');

    private static string Above(string name)
    {
        int dot = name.IndexOf('.');
        return dot < 0 ? "" : name[(dot + 1)..];
    }

    // Normalises a host: lower case, no trailing dot, canonical addresses.
    private static string Normalise(string host)
        => IPAddress.TryParse(host, out IPAddress? address)
            ? new IPAddress(address.GetAddressBytes()).ToString()
            : host.ToLowerInvariant().TrimEnd('.');

    private sealed record Policy
    {
        public string Pattern { get; init; } = "";

        public string Mode { get; init; } = "enforce";

        public string Match { get; init; } = "any";

        public string[] Pins { get; init; } = [];

        public string[] Compromised { get; init; } = [];

        public string? Expires { get; init; }

        public string OnExpiry { get; init; } = "fail-closed";

        public string? Trust { get; init; }
    }
}
