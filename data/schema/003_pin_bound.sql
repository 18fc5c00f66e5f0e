-- Above 20,000 names the pool that has most loses its oldest: nobody's haste drives out what others have.

DROP TRIGGER pin_bound;
CREATE TRIGGER pin_bound AFTER INSERT ON pin WHEN new.id % 64 = 0 BEGIN
  DELETE FROM pin WHERE id IN (
    SELECT id FROM pin WHERE pool = (SELECT pool FROM pin GROUP BY pool ORDER BY count(*) DESC, pool LIMIT 1)
    ORDER BY id LIMIT max(0, (SELECT count(*) FROM pin) - 20000));
END;
