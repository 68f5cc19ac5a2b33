/*-------------------------------------------------------------------------
 *
 * no_gettext.c
 *	  Preloaded into a server under AddressSanitizer: no catalogs of messages.
 *
 * With the runtime preloaded, glibc 2.36 waits for ever in the first
 * bindtextdomain() of Debian's postgres: the lock of gettext is still taken
 * since GnuTLS called it while the libraries were loaded.
 *
 *-------------------------------------------------------------------------
 */
extern char *bindtextdomain(const char *domain, const char *folder);
extern char *bind_textdomain_codeset(const char *domain, const char *codeset);
extern char *textdomain(const char *domain);

char *
bindtextdomain(const char *domain, const char *folder)
{
	return (char *) folder;
}

char *
bind_textdomain_codeset(const char *domain, const char *codeset)
{
	return (char *) codeset;
}

char *
textdomain(const char *domain)
{
	return (char *) domain;
}
