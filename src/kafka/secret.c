/*-------------------------------------------------------------------------
 *
 * secret.c
 *	  The files of secrets that user mappings name.
 *
 * `file:NAME` is a file in the folder of the stream's owner below
 * fluct.secrets_dir.  It is read without following a link and without waiting
 * (a FIFO would block for ever).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kafka/secret.h"
#include "pg/guc.h"

const char *
fluct_secret_file(const char *value)
{
	return strncmp(value, "file:", 5) == 0 ? value + 5 : NULL;
}

void
fluct_secret_check_name(const char *option, const char *name)
{
	if (name[0] == '\0' || name[0] == '.' || strlen(name) > 200 ||
		name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" does not name a file", option),
				 errhint("Write file:NAME, where NAME consists of letters, digits, _ . - and is a file in the folder of the role below fluct.secrets_dir.")));
}

/*
 * Opens ROLE/FILE below the folder of secrets without following links; -1 with
 * errno if it cannot.  Does not throw, since nothing would close what is open.
 */
static int
open_secret(const char *role, const char *file)
{
	int			flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC;
	int			root = open(fluct_secrets_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int			folder = root < 0 ? -1 : openat(root, role, flags | O_DIRECTORY);
	int			fd = folder < 0 ? -1 : openat(folder, file, flags | O_NONBLOCK);
	int			save_errno = errno;

	if (root >= 0)
		close(root);
	if (folder >= 0)
		close(folder);
	errno = save_errno;
	return fd;
}

/* Bytes read, at most `size`; -1 with errno (EINVAL: not a regular file). */
static ssize_t
read_regular(const char *role, const char *file, char *content, size_t size)
{
	int			fd = open_secret(role, file);
	struct stat status;
	ssize_t		len = -1;
	int			save_errno;

	if (fd < 0)
		return -1;
	if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode))
		errno = EINVAL;
	else
		len = read(fd, content, size);
	save_errno = errno;
	close(fd);
	errno = save_errno;
	return len;
}

static void
refuse_file(const char *option, const char *role, char *content, size_t len,
			const char *what)
{
	explicit_bzero(content, len);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
			 errmsg("the file of option \"%s\" for role \"%s\" is %s",
					option, role, what)));
}

char *
fluct_secret_read(const char *option, const char *file, const char *role)
{
	char	   *content = palloc(FLUCT_MAX_SECRET + 2);
	ssize_t		len;

	if (fluct_secrets_dir[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
				 errmsg("option \"%s\" names a file, but fluct.secrets_dir is empty",
						option)));
	fluct_secret_check_name(option, file);
	if (strchr(role, '/') || role[0] == '.')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("role \"%s\" cannot have a folder of secrets", role)));
	len = read_regular(role, file, content, FLUCT_MAX_SECRET + 1);
	if (len < 0)
	{
		const char *why = errno == EINVAL ? "it is not a regular file" :
		errno == ELOOP ? "it is a symbolic link" : pstrdup(strerror(errno));

		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
				 errmsg("could not open the file of option \"%s\" for role \"%s\": %s",
						option, role, why)));
	}
	if (len > FLUCT_MAX_SECRET)
		refuse_file(option, role, content, len,
					psprintf("longer than %d bytes", FLUCT_MAX_SECRET));
	while (len > 0 && (content[len - 1] == '\n' || content[len - 1] == '\r'))
		len--;
	content[len] = '\0';
	if (len == 0)
		refuse_file(option, role, content, len, "empty");
	if (strlen(content) != len)
		refuse_file(option, role, content, len, "not text: it has a zero byte");
	return content;
}
